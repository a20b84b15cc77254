"""From the name of a model to the parts of an assessor."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from vlm_aes.models.nano import NANO
from vlm_aes.models.scorer import Scorer
from vlm_aes.prompts import RatingPrompt
from vlm_aes.stats.calibration import Calibration
from vlm_aes.stats.calibration import load as load_calibration


class Parts(NamedTuple):
    """The arguments of :class:`vlm_aes.assessor.Assessor`."""

    rater: Any
    critic: Any
    prompt: RatingPrompt | None
    calibration: Calibration | None
    head: Scorer | None


def load_parts(
    model: str | Path | None,
    *,
    adapter: str | Path | None = None,
    prompt: str | Path | None = None,
    precision: str,
    device: str,
    revision: str | None = None,
    pixels: str = "auto",
    fast: bool = False,
    with_critic: bool = False,
) -> Parts:
    """Load what :meth:`vlm_aes.assessor.Assessor.from_pretrained` names."""
    from vlm_aes.critique.generate import Critic
    from vlm_aes.models.hub import fetch
    from vlm_aes.models.pretrained import LoadOptions
    from vlm_aes.models.registry import load_scorer
    from vlm_aes.models.vlm.scorer import VlmScorer

    name, revision = fetch(NANO if model is None else model, revision)
    options = LoadOptions(precision, device, revision, prompt, adapter, pixels)
    scorer = load_scorer(name, fast=fast, options=options)
    calibration = scorer.calibration
    if calibration is None and scorer.folder is not None:
        calibration = load_calibration(scorer.folder, scorer.calibration_id)
    if isinstance(scorer, VlmScorer):
        prompts = scorer.prompt
        return Parts(scorer, Critic(scorer.backbone, prompts), prompts, calibration, None)
    if not with_critic or scorer.critique_model is None:
        return Parts(None, None, None, calibration, scorer)
    base = load_parts(scorer.critique_model, precision=precision, device=device)
    return base._replace(calibration=calibration, head=scorer)


def terms_of(folder: Path, *, whole: bool = False) -> str:
    """The ``LICENSE-WEIGHTS`` file of a checkpoint: its first line, or all of it."""
    file = folder / "LICENSE-WEIGHTS"
    if not file.exists():
        return ""
    text = file.read_text(encoding="utf-8").strip()
    return text + "\n" if whole else text.splitlines()[0]
