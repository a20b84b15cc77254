"""The options of ``score`` and ``choose``, checked before anything large is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_aes.errors import SettingsError
from vlm_aes.files import check_absent, check_parent

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class RunSettings:
    """One call of ``score``: which images, which model, which columns, and where they go.

    Attributes:
        paths: files, folders, globs, tables, archives, addresses; ``-`` for a list on stdin.
        image_column: column of a table that holds paths or images; by default path or image.
        model, precision, device, fast: as for :meth:`vlm_aes.Assessor.from_pretrained`.
        rationale, facts, attributes: columns that are added.
        scale: ``1-10`` or the like; adds ``score_scaled``.
        stars: five percentiles with commas; ``stars_among`` is ``reference`` or ``run``.
        top_k, fraction, threshold: selection of the best; ``per`` is ``all`` or ``folder``.
        cascade: rate with the fast head, then borderline images with the model.
        out: table file, or a folder that ends in a slash; nothing gives rows as they are rated.
        html, dataset, stats: gallery page, dataset folder, and statistics file to write as well.
        xmp: write sidecars, in ``xmp_layout``; the next three are as in
            :class:`vlm_aes.output.xmp.sidecars.SidecarWriter`.
        engine: ``local``, or ``ray`` with so many ``workers``.

    Raises:
        SettingsError: for settings that exclude or need each other.
        OutputError: for a page that exists or has no folder.
    """

    paths: Sequence[str]
    image_column: str | None = None
    model: str | None = None
    fast: bool = False
    precision: str = "auto"
    device: str = "auto"
    rationale: bool = False
    facts: bool = False
    attributes: bool = False
    scale: str | None = None
    stars: str | None = None
    stars_among: str = "reference"
    top_k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    per: str = "all"
    cascade: bool = False
    out: str | None = None
    resume: bool = False
    overwrite: bool = False
    html: Path | None = None
    dataset: Path | None = None
    stats: Path | None = None
    xmp: bool = False
    xmp_layout: str = "auto"
    overwrite_ratings: bool = False
    unrated: int = 0
    dry_run: bool = False
    batch_size: int = 16
    engine: str = "local"
    workers: int | None = None

    def __post_init__(self) -> None:
        self._check_output()
        self._check_selection()
        self._check_sidecars()
        self._check_engine()

    @property
    def selects(self) -> bool:
        """Whether only the best rows are kept."""
        return any(v is not None for v in (self.top_k, self.fraction, self.threshold))

    @property
    def reads_images_again(self) -> bool:
        """Whether images are gone through a second time after they are rated."""
        return self.selects or self.html is not None or self.dataset is not None

    def _check_output(self) -> None:
        if self.resume and self.overwrite:
            raise SettingsError("--resume and --overwrite exclude each other")
        if self.resume and not self.out:
            raise SettingsError("--resume goes with --out")
        if self.overwrite and not (self.out or self.html):
            raise SettingsError("--overwrite goes with --out or --html")
        if self.html is not None:
            check_parent(self.html)
            check_absent(self.html, overwrite=self.overwrite or self.resume)

    def _check_selection(self) -> None:
        if not self.selects and (self.cascade or self.per != "all"):
            raise SettingsError("--cascade and --per go with --top-k, --fraction or --threshold")
        if self.per == "burst":
            raise SettingsError("--per burst needs a finished table", "then vlm-aes choose TABLE --per burst")

    def _check_sidecars(self) -> None:
        changed = self.overwrite_ratings or self.dry_run or self.unrated
        if not self.xmp and (changed or self.xmp_layout != "auto"):
            raise SettingsError("--xmp-layout, --overwrite-ratings, --unrated and --dry-run go with --xmp")
        if self.dry_run and (self.out or self.html or self.dataset):
            raise SettingsError(
                "--dry-run writes nothing", "leave --out, --html and --dataset out, or use vlm-aes xmp TABLE"
            )
        if not (self.xmp or self.stars) and self.stars_among != "reference":
            raise SettingsError("--stars-among goes with --stars or --xmp")

    def _check_engine(self) -> None:
        if self.engine not in ENGINES:
            raise SettingsError(f"--engine is {' or '.join(ENGINES)}, not {self.engine}")
        if self.engine == "ray" and self.out is None:
            raise SettingsError("--engine ray goes with --out")
        if self.engine == "local" and self.workers is not None:
            raise SettingsError("--workers goes with --engine ray")


@dataclass(frozen=True)
class ChooseSettings:
    """One call of ``choose``: which rows of a finished table, and where their files go.

    Attributes:
        table: what ``score`` wrote; not needed to ``undo``.
        top_k, fraction, threshold, per: see :class:`vlm_aes.bulk.select.cut.Cut`.
        distinct: of near-duplicates, keep only the best.
        bands: scores with commas between them, at which all images are parted.
        model, device: checkpoint with the fast head that measures similarity.
        copy, link, move: folder for the files, at most one of them.
        undo: folder whose files go back.

    Raises:
        SettingsError: for settings that exclude or need each other.
    """

    table: Path | None = None
    top_k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    per: str = "all"
    distinct: bool = False
    bands: str | None = None
    model: str | None = None
    device: str = "auto"
    copy: Path | None = None
    link: Path | None = None
    move: Path | None = None
    undo: Path | None = None

    def __post_init__(self) -> None:
        if self.table is None and self.undo is None:
            raise SettingsError("name a table that score wrote, or --undo FOLDER")
        if sum(folder is not None for folder in (self.copy, self.link, self.move)) > 1:
            raise SettingsError("name one of --copy, --link and --move")
        selection = (self.top_k, self.fraction, self.threshold) != (None, None, None)
        if self.bands is not None and (self.distinct or self.per != "all" or selection):
            raise SettingsError("--bands sorts every image", "leave the other choices out")

    @property
    def target(self) -> tuple[str, Path] | None:
        """``copy``, ``link`` or ``move``, and the folder; nothing to list paths only."""
        for way in ("copy", "link", "move"):
            folder = getattr(self, way)
            if folder is not None:
                return way, folder
        return None

    @property
    def needs_similarity(self) -> bool:
        """Whether images must be compared, which takes a model."""
        return self.distinct or self.per == "burst"
