"""The options of ``cull``, checked before anything large is imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_aes.bulk.select.place_files import check_new_placement
from vlm_aes.errors import OutputError, SettingsError
from vlm_aes.files import check_absent, check_place
from vlm_aes.output import FORMATS


@dataclass(frozen=True, kw_only=True)
class CullSettings:
    """One call of ``cull``: which photos, how many are kept, and where the verdicts go.

    Attributes:
        paths: files, folders, globs; ``-`` for a list on stdin.
        null: a NUL ends each path of that list, not a line end.
        keep: about as many photos get the verdict ``keep``, beside the sets; without it, only those that surely are.
        model, device: model whose fast head rates; as for :meth:`vlm_aes.Assessor.from_pretrained`.
        out: table file to write; ``overwrite`` replaces it.
        xmp: write picks, labels and stars into sidecars.
        link: folder to link the photos into, one folder a verdict.
        dry_run: write no sidecar and no link; show the verdicts.
        undo: folder of links, or of photos whose sidecars are to lose what was written here.
        log: file that gets a JSON line for each verdict, and for each sidecar.
        json: print one JSON object in place of the table.

    Raises:
        SettingsError: for settings that exclude or need each other.
        OutputError: for a place that cannot be written, or holds something that is not to be replaced.
    """

    paths: Sequence[str] = ()
    null: bool = False
    keep: int | None = None
    model: str | None = None
    device: str = "auto"
    out: Path | None = None
    overwrite: bool = False
    xmp: bool = False
    link: Path | None = None
    dry_run: bool = False
    undo: Path | None = None
    log: Path | None = None
    json: bool = False

    def __post_init__(self) -> None:
        if not self.paths and self.undo is None:
            raise SettingsError("name photos or folders, or --undo DIR")
        if self.undo is not None and (self.xmp or self.link or self.out or self.paths):
            raise SettingsError("--undo DIR stands alone")
        if self.null and "-" not in self.paths:
            raise SettingsError("--null goes with the path -")
        if self.keep is not None and self.keep < 1:
            raise SettingsError("--keep is at least 1")
        if self.out is not None:
            if self.out.suffix.lower() not in FORMATS:
                raise OutputError(f"{self.out}: name a file that ends in {', '.join(FORMATS)}")
            check_absent(self.out, overwrite=self.overwrite)
            check_place(self.out)
        if self.log is not None:
            check_place(self.log)
        if self.link is not None:
            check_new_placement(self.link)
