"""A distilled head's folder and its card: what it learned from, and how well it agrees."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vlm_aes.assessor import NANO, Assessor
from vlm_aes.models.heads.folder import FOLDER, TOWER
from vlm_aes.models.heads.tower import Tower, load_tower, own_tower
from vlm_aes.training.distill import (
    Recipe,
    Report,
    agreement_of,
    report_of,
    train_head,
    worth_of,
    write_head,
)
from vlm_aes.training.material import Opinion, Readable, gather, held_back


def tower_for(
    tower: str | None, out: Path, teacher: str | Path | None, revision: str | None = None
) -> tuple[Tower, str]:
    """The tower that a head is made for, and how its folder names it.

    Args:
        tower: a folder or a hub id; without one, the own tower of the checkpoint that the head goes
            into, else of the teacher, else of the embedded checkpoint.
        out: where the head goes; a checkpoint's folder, or one of its own.

    Raises:
        vlm_aes.models.vlm.CheckpointError: for one that cannot be used.
    """
    if tower is not None:
        found = load_tower(tower, revision=revision)
        return found, TOWER if Path(tower).is_dir() else tower
    if is_checkpoint(out):
        return own_tower(out), "own"
    place = Path(teacher) if teacher is not None else NANO
    return own_tower(place), TOWER


def is_checkpoint(folder: Path) -> bool:
    """Whether a head goes into a subfolder of it."""
    return (folder / "config.json").is_file()


def distill(
    pictures: Iterable[Readable],
    out: Path,
    tower: Tower,
    tower_name: str,
    cache: Path,
    *,
    teacher: Assessor | None = None,
    people: Mapping[str, Opinion] | None = None,
    reference: str = "your ratings",
    revision: str | None = None,
    terms: str = "",
    recipe: Recipe | None = None,
    held: Callable[[str, str], bool] = held_back,
) -> Report:
    """Distill a head into ``out`` (a checkpoint's ``fast/``, or the folder itself).

    Raises:
        TrainingError: where nothing can be learnt; nothing is written.
    """
    recipe = recipe or Recipe()
    live = sys.stderr.isatty()
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        if live:
            print(f"\r\033[K{done} pictures", end="", file=sys.stderr, flush=True)

    material = gather(pictures, tower, teacher, people or {}, cache, held=held, advance=advance)
    if live:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    head = train_head(material, recipe)
    report = report_of(head, material)
    write_head(
        out / FOLDER if is_checkpoint(out) else out,
        head,
        tower,
        tower_name=tower_name,
        revision=revision,
        agreement=agreement_of(head, material, teacher) if teacher else None,
        worth=worth_of(head, material, teacher.calibration if teacher else None, reference),
        card=card_of(report, tower_name, teacher, bool(people), recipe),
        terms=terms,
    )
    return report


_LINES = {
    "teacher": "with the teacher",
    "people": "with people's mean rating",
    "teacher_people": "the teacher itself, with people's mean rating",
}


def card_of(
    report: Report, tower: str, teacher: Assessor | None, rated: bool, recipe: Recipe
) -> str:
    """The head's ``README.md``."""
    sources = [f"the answers of `{teacher.model_id}` ({teacher.prompt_id})"] if teacher else []
    sources += ["people's ratings"] if rated else []
    towers = {"own": "the vision tower of the checkpoint around it",
              TOWER: "the vision tower in its subfolder"}  # fmt: skip
    lines = [
        "# Fast head",
        "",
        f"Learned from {' and '.join(sources)} over {report.n_train} pictures, on "
        f"{towers.get(tower, f'`{tower}`')}. It rates; it does not write critiques.",
        "",
        f"Over {report.n_held} held-back pictures, with 95% intervals:",
        "",
        "| | SRCC | PLCC | mean difference, points |",
        "|---|---|---|---|",
    ]
    for name, words in _LINES.items():
        figures = getattr(report, name)
        if figures:
            cells = [str(figures["srcc"]), str(figures["plcc"]), str(figures["mae"])]
            lines.append(f"| {words} | {' | '.join(cells)} |")
    lines += ["", f"Settings: `{recipe}`.", ""]
    return "\n".join(lines)
