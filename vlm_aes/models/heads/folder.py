"""The files of a fast head: where they lie, and what they say."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vlm_aes.errors import CheckpointError

FOLDER = "fast"
"""Subfolder of a checkpoint that holds its fast head."""
ABOUT, WEIGHTS, TOWER = "fast.json", "head.safetensors", "tower"
VERSION = 1


@dataclass(frozen=True)
class Agreement:
    """How far the teacher's score lies from the head's, over pictures that were held back.

    Attributes:
        model, prompt: the teacher's identity.
        low, high: what is added to the head's score for the ends of the interval that held the
            teacher's in nine cases of ten.
        n: held-back pictures.
    """

    model: str
    prompt: str
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class About:
    """What ``fast.json`` says.

    Attributes:
        tower: ``own`` for the vision tower of the checkpoint around it, ``tower`` for the one in
            its subfolder, or a hub id.
        revision: of a hub id.
        tower_hash: of the tower's weights that the head was made for.
        width: numbers of an embedding.
        hidden: numbers between the two layers.
        agreement: with its teacher, where it had one.
    """

    tower: str
    tower_hash: str
    width: int
    hidden: int
    revision: str | None = None
    agreement: Agreement | None = None
    version: int = VERSION

    def save(self, folder: Path) -> None:
        """Write ``fast.json``."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        (folder / ABOUT).write_text(text, encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> About:
        """Read ``fast.json``.

        Raises:
            CheckpointError: for a file that is none, or of a later version.
        """
        try:
            data = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            agreement = data.pop("agreement")
            found = About(**data, agreement=Agreement(**agreement) if agreement else None)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(folder, f"{ABOUT} cannot be read ({error}); distill it anew"
                                  ) from None  # fmt: skip
        if found.version != VERSION:
            raise CheckpointError(
                folder, f"its fast head is of version {found.version}, this is {VERSION}: "
                "distill it anew, or update vlm-aes",
            )  # fmt: skip
        return found


def is_head(model: str | Path) -> bool:
    """Whether a folder is a fast head itself."""
    return (Path(model) / ABOUT).is_file()


def find_head(model: str | Path) -> Path:
    """The folder of a model's fast head.

    Raises:
        CheckpointError: where there is none; names the command that makes one.
    """
    for folder in (Path(model), Path(model) / FOLDER):
        if is_head(folder):
            return folder
    raise CheckpointError(
        model, "it has no fast head; make one: vlm-aes distill --images DIR "
        f"--teacher {model} --out {model if Path(model).is_dir() else 'DIR'}",
    )  # fmt: skip
