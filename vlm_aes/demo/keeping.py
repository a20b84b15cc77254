"""Files that a visitor takes home: complete, in a folder that nobody else can guess."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vlm_aes.demo.uploads import shown_name

SWEEP, KEPT = 60, 3600
"""Seconds between two sweeps, and the age in seconds at which files go."""


def give_back_memory() -> None:
    """Return what pictures no longer need to the system: with many threads glibc keeps it, in
    pieces, for pictures to come. Does nothing where there is another allocator."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def new_folder() -> Path:
    """A folder of its own below the place that Gradio serves files from."""
    root = Path(os.environ["GRADIO_TEMP_DIR"])
    return Path(tempfile.mkdtemp(prefix="taken-", dir=root))


class Place:
    """A folder for all that visitors send and take home, emptied by age, gone at the end.

    Gradio serves what lies in it. It is new for each server, so that no other program's files can
    be asked for.
    """

    def __init__(self) -> None:
        above = os.environ.get("GRADIO_TEMP_DIR")
        if above:
            Path(above).mkdir(parents=True, exist_ok=True)
        self._above = above
        self.folder = Path(tempfile.mkdtemp(prefix="vlm-aes-demo-", dir=above))
        os.environ["GRADIO_TEMP_DIR"] = str(self.folder)
        self._ended = threading.Event()
        self._stays: set[Path] = set()

    def begin(self) -> None:
        """Sweep from now on; what is there already is the page's own and stays."""
        self._stays = {p for p in self.folder.rglob("*") if p.is_file()}
        threading.Thread(target=self._sweep, name="sweep", daemon=True).start()

    def sweep(self, now: float | None = None) -> int:
        """Delete what visitors left longer than ``KEPT`` ago; gives how many files that were."""
        now = time.time() if now is None else now
        gone = 0
        for file in [p for p in self.folder.rglob("*") if p.is_file() and p not in self._stays]:
            with suppress(OSError):
                if now - file.stat().st_mtime > KEPT:
                    file.unlink()
                    gone += 1
        return gone

    def _sweep(self) -> None:
        while not self._ended.wait(SWEEP):
            self.sweep()
            give_back_memory()

    def close(self) -> None:
        """Delete everything."""
        self._ended.set()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._above is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = self._above


def file_stem(name: str) -> str:
    """A picture's name as part of a file name on every system."""
    stem = shown_name(name).rsplit(".", 1)[0]
    return re.sub(r'[<>:"/\\|?*\s]+', "-", stem).strip("-.") or "picture"


def write_json(folder: Path, name: str, data: Mapping[str, Any]) -> str:
    """One object as a file; gives its path."""
    file = folder / name
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1)
    file.write_text(text + "\n", encoding="utf-8")
    return str(file)


def zipped(folder: Path, name: str) -> str:
    """A folder's files as one archive beside it; gives its path."""
    target = folder.with_name(f"{folder.name}-zip") / name
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder))
    return str(target)
