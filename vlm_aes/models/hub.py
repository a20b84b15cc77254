"""The Hugging Face hub: what is fetched from it, and what is pushed to it.

``OWNER/NAME[@REVISION]`` becomes what loads: a checkpoint with files of ours is fetched whole, anything else
is left to transformers. A trained folder or a dataset is pushed with its card as one commit. Only
:func:`hub_trouble`, :func:`fetch` and :func:`push` use the network.
"""

import json
import re
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from threading import Thread

from vlm_aes.errors import HubError, short_text
from vlm_aes.models.nano import NANO, NANO_NAME

_HUB_ID = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")
_OWN_FILES = ("vlm_aes.toml", "fast.json", "adapter_config.json")
"""Files by which a repository is fetched whole: own prompts, a fast head, an adapter."""
_CARD = "README.md"
_TERMS = "LICENSE-WEIGHTS"
HUB_PATIENCE_S = 4.0
"""Seconds in which the hub must answer."""
_NEVER_PUSHED = (".*", "*.part", "*.tmp", "__pycache__", "checkpoint-*", "optimizer.pt", "*.lock")


def parse_hub_id(model: str | Path, revision: str | None = None) -> tuple[str, str | None] | None:
    """Hub id and revision of a model's name; None for a folder, a preset or another name."""
    if Path(model).exists():
        return None
    match = _HUB_ID.fullmatch(str(model))
    return (match["name"], match["revision"] or revision) if match else None


def hub_trouble() -> str:
    """Why the hub cannot be reached; empty where it can, or where the user chose to work offline. It is asked once a
    minute at most, because each file that is looked for would wait anew."""
    from huggingface_hub import constants

    return "" if constants.HF_HUB_OFFLINE else _trouble_in_minute(time.monotonic() // 60)


@lru_cache(1)
def _trouble_in_minute(minute: float) -> str:
    from huggingface_hub import constants, get_session

    trouble = [f"no answer in {HUB_PATIENCE_S:g} seconds"]

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=HUB_PATIENCE_S)
            trouble[0] = ""
        except Exception as error:  # of whichever client the library has
            trouble[0] = short_text(error)

    asking = Thread(target=ask, daemon=True)  # looking up an address knows no limit of its own
    asking.start()
    asking.join(HUB_PATIENCE_S)
    return trouble[0]


def fetch(model: str | Path, revision: str | None = None) -> tuple[str | Path, str | None]:
    """The folder that a hub id with files of ours was fetched into, or the name and its revision.

    The network is used only for a hub id, and only for what is not in the cache. Where the hub cannot be
    asked, the name is given back, and loading it says why. The embedded checkpoint goes by its name.
    """
    if str(model) == NANO_NAME and not Path(NANO_NAME).exists():
        return NANO, None
    parsed = parse_hub_id(model, revision)
    if parsed is None:
        return model, revision
    name, revision = parsed
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    cached = bool(hub_trouble())
    for file in _OWN_FILES:
        try:
            hf_hub_download(name, file, revision=revision, local_files_only=cached)
            return Path(snapshot_download(name, revision=revision, local_files_only=cached)), None
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError, ValueError):
            break
    return name, revision


def cached_identity(folder: Path) -> str | None:
    """``OWNER/NAME@COMMIT`` of a folder in the hub's cache; None for any other."""
    parts = folder.absolute().parts
    for i, part in enumerate(parts[:-2]):
        if part.startswith("models--") and parts[i + 1] == "snapshots":
            name = part.removeprefix("models--").replace("--", "/")
            return "/".join([f"{name}@{parts[i + 2]}", *parts[i + 3 :]])
    return None


@dataclass(frozen=True)
class HubUpload:
    """The content of one push.

    Attributes:
        kind: ``model`` or ``dataset``.
        files: path in the repository to the file here, by name; the card is not among them.
        card, license: the whole card, its metadata completed; the license as it names it.
    """

    kind: str
    files: dict[str, Path]
    card: str
    license: str

    @property
    def size(self) -> int:
        """Size in bytes."""
        return sum(size for _, size in self.sizes)

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Every file's path in the repository and its size in bytes, by name."""
        sizes = {name: file.stat().st_size for name, file in self.files.items()}
        return sorted({**sizes, _CARD: len(self.card.encode())}.items())


def check_repository(repo: str) -> None:
    """Raise a :class:`HubError` for a name that is not ``OWNER/NAME``."""
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise HubError(f"{repo}: name the repository as OWNER/NAME")


def prepare_upload(folder: Path, license_id: str | None = None) -> HubUpload:
    """The upload of a folder; nothing is written.

    Args:
        license_id: of the hub's list (``apache-2.0``, ``other``), where the card names none.

    Raises:
        HubError: for a folder without checkpoint or card, one that needs a folder of this machine, or whose
            terms are not known.
    """
    kind = _kind(folder)
    if not (folder / _CARD).is_file():
        raise HubError(f"{folder} holds no {_CARD}", "write a card that describes the content")
    _check_base(folder)
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    files = {path.as_posix(): folder / path for path in paths if not _stays_here(path)}
    del files[_CARD]
    terms = sorted(name for name in files if Path(name).name == _TERMS)
    card, license_name = _completed_card(folder / _CARD, kind, license_id, terms)
    return HubUpload(kind, files, card, license_name)


def push(upload: HubUpload, repo: str, *, revision: str | None = None, private: bool = False, message: str = "") -> str:
    """Push an upload as one commit, and give its id. The repository and the branch ``revision`` are created
    where there are none. Raises HubError where the hub refuses or cannot be reached."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if trouble := hub_trouble():
        raise HubError(f"{repo}: the hub cannot be reached ({trouble})", "see to the network")
    operations = [CommitOperationAdd(_CARD, upload.card.encode())]
    operations += [CommitOperationAdd(name, str(file)) for name, file in upload.files.items()]
    message = message or f"vlm-aes push {upload.kind}"
    hub = HfApi()
    try:
        hub.create_repo(repo, repo_type=upload.kind, private=private, exist_ok=True)
        if revision:
            hub.create_branch(repo, branch=revision, repo_type=upload.kind, exist_ok=True)
        commit = hub.create_commit(repo, operations, commit_message=message, repo_type=upload.kind, revision=revision)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise HubError(f"{repo}: {short_text(error)}; logged in? hf auth login") from None
    return str(commit.oid)


def _kind(folder: Path) -> str:
    if any((folder / f).is_file() for f in ("config.json", "adapter_config.json", "fast.json")):
        return "model"
    if any((folder / "data").glob("*.parquet")):
        return "dataset"
    raise HubError(
        f"{folder} holds no checkpoint, adapter or fast head, and no data/*.parquet",
        "name a folder that finetune, distill or score --dataset wrote",
    )


def _stays_here(path: Path) -> bool:
    return any(fnmatch(part, pattern) for part in path.parts for pattern in _NEVER_PUSHED)


def _check_base(folder: Path) -> None:
    """Refuse an adapter on a folder of this machine: nobody else could load it."""
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    base = str(config.get("base_model_name_or_path") or "")
    if not (folder / base).resolve().is_relative_to(folder.resolve()):
        raise HubError(
            f"its base is the folder {base}, which nobody else has: push that first, put its hub "
            f"id into {file}, and push again; or train with --full"
        )


def _completed_card(file: Path, kind: str, license_id: str | None, terms: list[str]) -> tuple[str, str]:
    """The card with license, library and tags in its metadata, and the license."""
    from huggingface_hub import DatasetCard, ModelCard
    from yaml import YAMLError

    text = file.read_text(encoding="utf-8")
    if not text.startswith("---"):
        text = f"---\n{{}}\n---\n\n{text}"
    try:
        card = (ModelCard if kind == "model" else DatasetCard)(text, ignore_metadata_errors=False)
    except (ValueError, YAMLError) as error:
        text = short_text(error)
        raise HubError(file, f"its metadata cannot be read ({text}); correct the YAML at its top") from None
    metadata = card.data
    license_name = metadata.get("license") or license_id
    if terms and not metadata.get("license"):
        # weights of others keep the terms of their makers
        if license_id not in (None, "other"):
            raise HubError(
                f"the weights in it have terms of their own ({terms[0]})",
                "leave --license out, or give --license other",
            )
        license_name = metadata["license"] = "other"
        metadata["license_name"], metadata["license_link"] = "terms-of-the-weights", terms[0]
    if not license_name:
        raise HubError("the card names no license: give one with --license (apache-2.0, cc-by-nc-4.0, other)")
    metadata["license"] = license_name
    if kind == "model":
        metadata["library_name"] = metadata.get("library_name") or "vlm-aes"
    metadata["tags"] = metadata.get("tags") or ["aesthetics", "image-quality"]
    return str(card), str(license_name)
