"""Pushing a trained folder or a dataset with its card as one commit, or only saying what would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from vlm_aes.errors import HubError

CARD, TERMS = "README.md", "LICENSE-WEIGHTS"
_LEFT_HERE = (".*", "*.part", "*.tmp", "__pycache__", "checkpoint-*", "optimizer.pt", "*.lock")


@dataclass(frozen=True)
class Parcel:
    """What is pushed.

    Attributes:
        kind: ``model`` or ``dataset``.
        files: path in the repository to the file here, by name; the card is not among them.
        card: the whole card, its metadata completed.
        license: as the card names it.
    """

    kind: str
    files: dict[str, Path]
    card: str
    license: str

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(size for _, size in self.sizes)

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Every file's path in the repository and its size in bytes, by name."""
        sizes = {name: file.stat().st_size for name, file in self.files.items()}
        return sorted({**sizes, CARD: len(self.card.encode())}.items())


def check_repository(repo: str) -> None:
    """Raise a :class:`HubError` for a name that is not ``OWNER/NAME``."""
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise HubError(f"{repo}: name the repository as OWNER/NAME")


def packed(folder: Path, license_id: str | None = None) -> Parcel:
    """Look at a folder and put together what is pushed; nothing is written.

    Args:
        license_id: of the hub's list (``apache-2.0``, ``other``), where the card names none.

    Raises:
        HubError: for a folder without checkpoint or card, one that needs a folder of this machine,
            or whose terms are not known.
    """
    kind = _kind(folder)
    if not (folder / CARD).is_file():
        raise HubError(f"{folder} holds no {CARD}: write a card that says what it is")
    _check_base(folder)
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _stays(path.relative_to(folder))
    }
    del files[CARD]
    terms = sorted(name for name in files if Path(name).name == TERMS)
    card, named = _completed(folder / CARD, kind, license_id, terms)
    return Parcel(kind, files, card, named)


def push(
    parcel: Parcel, repo: str, *, revision: str | None = None, private: bool = False,
    message: str = "",
) -> str:  # fmt: skip
    """Push it as one commit, into a repository that is made where there is none.

    Args:
        revision: a branch; made where there is none.

    Returns:
        The commit.

    Raises:
        HubError: where the hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    operations = [
        CommitOperationAdd(CARD, parcel.card.encode()),
        *(CommitOperationAdd(name, str(file)) for name, file in parcel.files.items()),
    ]
    hub = HfApi()
    try:
        hub.create_repo(repo, repo_type=parcel.kind, private=private, exist_ok=True)
        if revision:
            hub.create_branch(repo, branch=revision, repo_type=parcel.kind, exist_ok=True)
        done = hub.create_commit(
            repo, operations, commit_message=message or f"vlm-aes push {parcel.kind}",
            repo_type=parcel.kind, revision=revision,
        )  # fmt: skip
    except (HfHubHTTPError, OSError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise HubError(f"{repo}: {text}; logged in? hf auth login") from None
    return str(done.oid)


def _kind(folder: Path) -> str:
    if any((folder / f).is_file() for f in ("config.json", "adapter_config.json", "fast.json")):
        return "model"
    if any((folder / "data").glob("*.parquet")):
        return "dataset"
    raise HubError(
        f"{folder} holds no checkpoint, adapter or fast head, and no data/*.parquet: name a folder "
        "that finetune, distill or score --dataset wrote"
    )


def _stays(path: Path) -> bool:
    return any(fnmatch(part, pattern) for part in path.parts for pattern in _LEFT_HERE)


def _check_base(folder: Path) -> None:
    """An adapter on a folder of this machine is of no use to anybody else."""
    file = folder / "adapter_config.json"
    if not file.is_file():
        return
    base = str(json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path") or "")
    if not (folder / base).resolve().is_relative_to(folder.resolve()):
        raise HubError(
            f"its base is the folder {base}, which nobody else has: push that first, put its hub "
            f"id into {file}, and push again; or train with --full"
        )


def _completed(
    file: Path, kind: str, license_id: str | None, terms: list[str]
) -> tuple[str, str]:  # fmt: skip
    from huggingface_hub import DatasetCard, ModelCard
    from yaml import YAMLError

    text = file.read_text(encoding="utf-8")
    if not text.startswith("---"):
        text = f"---\n{{}}\n---\n\n{text}"
    try:
        card = (ModelCard if kind == "model" else DatasetCard)(text, ignore_metadata_errors=False)
    except (ValueError, YAMLError) as error:
        brief = " ".join(str(error).split())[:160]
        raise HubError(f"{file}: its metadata cannot be read ({brief})") from None
    about = card.data
    named = about.get("license") or license_id
    if terms and not about.get("license"):
        # weights that came from others bring their terms along
        if license_id not in (None, "other"):
            raise HubError(f"the weights in it have terms of their own ({terms[0]}): leave "
                            "--license out, or say other")  # fmt: skip
        named = about["license"] = "other"
        about["license_name"], about["license_link"] = "terms-of-the-weights", terms[0]
    if not named:
        raise HubError(
            "the card names no license: say one with --license (apache-2.0, cc-by-nc-4.0, other)"
        )
    about["license"] = named
    if kind == "model" and not about.get("library_name"):
        about["library_name"] = "vlm-aes"
    if not about.get("tags"):
        about["tags"] = ["aesthetics", "image-quality"]
    return str(card), str(named)
