"""The options of ``score`` and ``choose``, checked before anything large is imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_aes.bulk.select.place_files import check_new_placement
from vlm_aes.bulk.target import Target
from vlm_aes.errors import SettingsError
from vlm_aes.files import check_absent, check_place, is_own_page

ENGINES = ("local", "ray")


def _refuse_if(is_wrong: object, message: str, hint: str = "") -> None:
    if is_wrong:
        raise SettingsError(message, hint)


@dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """Which of the images are selected: see :class:`vlm_aes.bulk.select.cut.Cut`; and by which model."""

    top_k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    per: str = "all"
    model: str | None = None
    device: str = "auto"

    @property
    def selects(self) -> bool:
        """Whether only the best rows are kept."""
        return any(v is not None for v in (self.top_k, self.fraction, self.threshold))


@dataclass(frozen=True, kw_only=True)
class RunSettings(SelectionSettings):
    """One call of ``score``: which images, which model, which columns, and where they go.

    Attributes:
        paths: files, folders, globs, tables, archives, addresses; ``-`` for a list on stdin.
        null: a NUL ends each path of that list, not a line end.
        image_column: column of a table that holds paths or images; by default path or image.
        fast, any_base, precision: as for :meth:`vlm_aes.Assessor.from_pretrained`, like model and device.
        rationale, facts, attributes, tags: columns that are added; ``scale`` (``1-10``) adds ``score_scaled``.
        stars: five percentiles with commas; ``stars_among`` is ``reference`` or ``run``.
        cascade: rate with the fast head, then borderline images with the model.
        out: table file, or a folder that ends in a slash; nothing gives rows as they are rated.
        html, dataset, stats: gallery page, dataset folder, and statistics file to write as well.
        xmp: write sidecars; what follows is as in :class:`vlm_aes.output.xmp.sidecars.SidecarWriter`.
        engine: ``local``, or ``ray`` with so many ``workers``.

    Raises:
        SettingsError: for settings that exclude or need each other.
        OutputError: for a place that cannot be written, or holds something that is not to be replaced.
    """

    paths: Sequence[str]
    null: bool = False
    image_column: str | None = None
    fast: bool = False
    any_base: bool = False
    precision: str = "auto"
    rationale: bool = False
    facts: bool = False
    attributes: bool = False
    tags: bool = False
    scale: str | None = None
    stars: str | None = None
    stars_among: str = "reference"
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
    caption: bool = False
    dry_run: bool = False
    batch_size: int = 16
    engine: str = "local"
    workers: int | None = None

    def __post_init__(self) -> None:
        sidecars = self.overwrite_ratings or self.dry_run or self.unrated or self.caption or self.xmp_layout != "auto"
        _refuse_if(self.resume and self.overwrite, "--resume and --overwrite exclude each other")
        _refuse_if(self.null and "-" not in self.paths, "--null goes with the path -")
        _refuse_if(self.resume and not self.out, "--resume goes with --out")
        _refuse_if(self.overwrite and not (self.out or self.html), "--overwrite goes with --out or --html")
        lacks_cut = (self.cascade or self.per != "all") and not self.selects
        _refuse_if(lacks_cut, "--cascade and --per go with --top-k, --fraction or --threshold")
        _refuse_if(self.per == "burst", "--per burst needs a finished table", "then vlm-aes choose TABLE --per burst")
        _refuse_if(
            sidecars and not self.xmp,
            "--xmp-layout, --overwrite-ratings, --unrated, --caption and --dry-run go with --xmp",
        )
        _refuse_if(self.caption and not self.rationale, "--caption goes with --rationale")
        _refuse_if(
            self.dry_run and (self.out or self.html or self.dataset),
            "--dry-run writes nothing",
            "leave --out, --html and --dataset out, or use vlm-aes xmp TABLE",
        )
        among_run = self.stars_among != "reference"
        _refuse_if(among_run and not (self.xmp or self.stars), "--stars-among goes with --stars or --xmp")
        _refuse_if(self.engine not in ENGINES, f"--engine is {' or '.join(ENGINES)}, not {self.engine}")
        _refuse_if(self.engine == "ray" and self.out is None, "--engine ray goes with --out")
        _refuse_if(self.engine == "local" and self.workers is not None, "--workers goes with --engine ray")
        if self.html is not None:
            check_absent(self.html, overwrite=self.overwrite or self.resume or is_own_page(self.html))
        for file in filter(None, (self.html, self.stats)):
            check_place(file)
        if self.dataset is not None:
            check_place(self.dataset, is_folder=True)
        if self.out is not None:
            Target(self.out).check(resume=self.resume, overwrite=self.overwrite)

    @property
    def reads_images_again(self) -> bool:
        """Whether images are gone through a second time after they are rated."""
        return self.selects or self.html is not None or self.dataset is not None


@dataclass(frozen=True, kw_only=True)
class ChooseSettings(SelectionSettings):
    """One call of ``choose``: which rows of a finished table, and where their files go.

    Attributes:
        table: what ``score`` wrote; not needed to ``undo``.
        distinct: of near-duplicates, keep only the best, by the fast head of the model.
        skip_warned: leave out images that have a warning.
        bands: scores with commas between them, at which all images are parted.
        copy, link, move, undo: folder for the files, at most one of them; folder whose files go back.
        null: a NUL ends each path that is printed, not a line end.

    Raises:
        SettingsError: for settings that exclude or need each other.
        OutputError: for a folder that cannot be written, or holds an earlier choice.
    """

    table: Path | None = None
    distinct: bool = False
    skip_warned: bool = False
    bands: str | None = None
    copy: Path | None = None
    link: Path | None = None
    move: Path | None = None
    undo: Path | None = None
    null: bool = False

    def __post_init__(self) -> None:
        _refuse_if(self.table is None and self.undo is None, "name a table that score wrote, or --undo FOLDER")
        folders = [folder for folder in (self.copy, self.link, self.move) if folder is not None]
        _refuse_if(len(folders) > 1, "name one of --copy, --link and --move")
        other_choice = self.distinct or self.per != "all" or self.selects
        _refuse_if(self.bands is not None and other_choice, "--bands sorts every image", "leave the other choices out")
        if self.target is not None:
            check_new_placement(self.target[1])

    @property
    def target(self) -> tuple[str, Path] | None:
        """``copy``, ``link`` or ``move``, and the folder; nothing to list paths only."""
        ways = ("copy", self.copy), ("link", self.link), ("move", self.move)
        return next(((way, folder) for way, folder in ways if folder is not None), None)

    @property
    def needs_similarity(self) -> bool:
        """Whether images must be compared, which takes a model."""
        return self.distinct or self.per == "burst"
