"""``export`` and ``push``: a model as one file, and a model or a dataset on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.options import OUTPUT, Model, Overwrite, option, say, say_loading

Private = Annotated[bool, option("--private", group=OUTPUT, help="Create a private repository.")]


def export(
    out: Annotated[Path, option(group=OUTPUT, metavar="FILE", help="FILE.onnx to write; it loads with --model.")],
    model: Model = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a fast head as one ONNX file, checked against torch."""
    from vlm_aes.files import check_absent

    check_absent(out, overwrite=overwrite)
    say_loading(model)

    from vlm_aes.models.heads.export import export as write_onnx
    from vlm_aes.models.nano import NANO
    from vlm_aes.models.pretrained import LoadOptions
    from vlm_aes.models.registry import load_scorer

    scorer = load_scorer(model or NANO, fast=True, options=LoadOptions("fp32", "cpu"))
    difference = write_onnx(scorer, out)
    say(f"{out}: probabilities within {difference:.1g} of torch's")


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that finetune, distill or --dataset wrote.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub; created if missing.")],
    license_id: Annotated[
        str | None,
        option("--license", group=OUTPUT, metavar="ID", help="License such as apache-2.0, for a card that names none."),
    ] = None,
    revision: Annotated[
        str | None, option(group=OUTPUT, metavar="BRANCH", help="Branch; created if missing. Default: main.")
    ] = None,
    private: Private = False,
    message: Annotated[str, option(group=OUTPUT, metavar="TEXT", help="Message of the commit.")] = "",
    dry_run: Annotated[bool, option("--dry-run", group=OUTPUT, help="List the files; nothing is pushed.")] = False,
) -> None:
    """Push a model or a dataset with its card to the Hugging Face hub."""
    from vlm_aes.models import hub

    hub.check_repository(repo)
    upload = hub.prepare_upload(folder, license_id)
    if dry_run:
        for name, size in upload.sizes:
            print(f"{size:>13,}  {name}")
        branch = f" ({revision})" if revision else ""
        say(f"{upload.size:,} bytes would go to {upload.kind} {repo}{branch}, "
            f"license {upload.license}")  # fmt: skip
        return
    commit = hub.push(upload, repo, revision=revision, private=private, message=message)
    say(f"pushed: {'--model ' * (upload.kind == 'model')}{repo}@{commit}")
