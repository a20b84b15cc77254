"""From ``OWNER/NAME[@REVISION]`` to what loads: a folder of ours is fetched whole, anything else is
left to transformers."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")
_OURS = ("vlm_aes.toml", "fast.json", "adapter_config.json")
"""What tells a folder that has to be there as a whole: own prompts and calibration, a fast head, an
adapter."""


def named(model: str | Path, revision: str | None = None) -> tuple[str, str | None] | None:
    """Hub id and revision of a model's name; nothing for a folder, a preset or another name."""
    if Path(model).exists():
        return None
    found = _NAME.fullmatch(str(model))
    return (found["name"], found["revision"] or revision) if found else None


def fetched(
    model: str | Path, revision: str | None = None
) -> tuple[str | Path, str | None]:  # fmt: skip
    """A model's name with its revision taken off; for a checkpoint, adapter or fast head that was
    pushed from here, the folder that it was fetched into.

    The network is used only for a hub id, and only for what is not in the cache. Where the hub
    cannot be asked, the name is given back, and loading it says why.
    """
    found = named(model, revision)
    if found is None:
        return model, revision
    name, wanted = found
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        for file in _OURS:
            try:
                hf_hub_download(name, file, revision=wanted)
            except EntryNotFoundError:
                continue
            return Path(snapshot_download(name, revision=wanted)), None
    except (HfHubHTTPError, OSError, ValueError):
        pass
    return name, wanted


def cached_identity(folder: Path) -> str | None:
    """``OWNER/NAME@COMMIT`` of a folder in the hub's cache; nothing for any other."""
    parts = folder.absolute().parts
    for i, part in enumerate(parts[:-2]):
        if part.startswith("models--") and parts[i + 1] == "snapshots":
            name = part.removeprefix("models--").replace("--", "/")
            inside = "/".join(parts[i + 3 :])
            return f"{name}@{parts[i + 2]}" + (f"/{inside}" if inside else "")
    return None
