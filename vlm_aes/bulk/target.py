"""The place that rows go to: what is there, and whether a run may begin."""

import os
from pathlib import Path

from vlm_aes.bulk.journal import RunLock
from vlm_aes.errors import OutputError
from vlm_aes.files import check_place
from vlm_aes.output import FORMATS

MANIFEST, LOCK, FAST = "_manifest.json", "_lock", "_fast"
"""Files beside the shards, and the folder of a cascade's first round. With an underscore, so that a folder of shards
reads as one table. The manifest is there from a run's begin to its end."""


class Target:
    """A table file, or a folder (a path that ends in ``/``, or is one), and what ``--out`` may find there.

    Attributes:
        path, part: the target; the folder of its shards and its journal, which is ``FILE.part/`` for a file.

    Raises:
        OutputError: for an unknown suffix.
    """

    def __init__(self, name: str) -> None:
        self.name, self.path = name, Path(name)
        self.is_folder = name.endswith(("/", os.sep)) or self.path.is_dir()
        if not self.is_folder and self.path.suffix.lower() not in FORMATS:
            formats = ", ".join(FORMATS)
            raise OutputError(f"{name}: name a file that ends in {formats}, or a folder (with a / at the end)")
        self.part = self.path if self.is_folder else self.path.with_name(self.path.name + ".part")

    @property
    def is_begun(self) -> bool:
        """Whether a run was interrupted here."""
        return any((folder / MANIFEST).exists() for folder in (self.part, self.part / FAST))

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Check that a run may begin, before a model is loaded for it. Raises OutputError for a place that cannot be
        written, that another run is writing, or that holds rows and nobody said what is to become of them."""
        check_place(self.path, is_folder=self.is_folder)
        if (self.part / LOCK).exists():
            self.lock().release()
        if resume or overwrite:
            return
        if self.is_begun:
            raise OutputError(
                f"{self.part} holds an interrupted run", "go on with --resume, or start anew with --overwrite"
            )
        if any(self.path.glob("*.parquet")) if self.is_folder else self.path.exists():
            raise OutputError(f"{self.name} exists already", "--resume goes on with it, --overwrite replaces it")

    def lock(self) -> RunLock:
        """Make the folder of the shards, and lock it. Raises OutputError where another run holds it."""
        try:
            self.part.mkdir(exist_ok=True)
            return RunLock(self.part / LOCK)
        except BlockingIOError:
            raise OutputError(f"another run is writing {self.path}", "wait for it, or choose another --out") from None
        except OSError as error:
            raise OutputError(f"{self.part}: {error.strerror}", "choose another --out") from None
