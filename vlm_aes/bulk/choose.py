"""One call of ``choose``: from its settings to the rows that are selected of a table."""

from __future__ import annotations

from vlm_aes.bulk.select.cut import Cut
from vlm_aes.bulk.select.from_table import Table, band_rows, choose_rows, parse_bands
from vlm_aes.bulk.select.similarity import feature_extractor
from vlm_aes.bulk.settings import ChooseSettings
from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads import FastScorer
from vlm_aes.models.scorer import Scorer
from vlm_aes.output.table import Row


def select_from_table(
    settings: ChooseSettings, head: Scorer | None = None
) -> tuple[list[Row], list[str] | None]:
    """The selected rows, the best first, and the name of each one's band where there are bands.

    Args:
        head: fast head that measures similarity, where the settings need it.

    Raises:
        TableError: for a table that ``score`` did not write.
        CheckpointError: for a head that cannot measure similarity.
    """
    assert settings.table is not None
    table = Table(settings.table)
    if settings.bands is not None:
        pairs = band_rows(table, parse_bands(settings.bands))
        return [row for _, row in pairs], [band.name for band, _ in pairs]
    cut = Cut(settings.top_k, settings.fraction, settings.threshold, settings.per)
    look = None
    if settings.needs_similarity:
        if not isinstance(head, FastScorer):
            raise CheckpointError(
                "similarity needs a model with a fast head", "pass one with --model"
            )
        look = feature_extractor(head)
    return choose_rows(table, cut, look, apart=settings.distinct), None
