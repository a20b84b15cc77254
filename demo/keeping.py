"""Files that a visitor takes home: complete, in a folder that nobody else can guess."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_aes.demo.uploads import shown_name


def new_folder() -> Path:
    """A folder of its own below the place that Gradio serves files from and empties by age."""
    from gradio.utils import get_upload_folder

    root = Path(get_upload_folder())
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="taken-", dir=root))


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
