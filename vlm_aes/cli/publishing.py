"""``push``: a trained folder or a dataset to the Hugging Face hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.options import app, interruptible, wrong


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="What finetune, distill or --dataset wrote.")],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the hub; made where there is none.")],
    license_id: Annotated[
        str | None, typer.Option("--license", help="As apache-2.0, where the card names none.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="A branch; made where there is none. Default: main.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A new repository is for its owner alone.")
    ] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be pushed; ask nobody.")
    ] = False,
) -> None:
    """Push a trained folder, or a dataset, with its card to the Hugging Face hub."""
    from vlm_aes.models.hub import push as pushing

    with interruptible():
        if repo.count("/") != 1 or not all(repo.split("/")):
            wrong(f"{repo}: name the repository as OWNER/NAME")
        try:
            parcel = pushing.packed(folder, license_id)
            if dry_run:
                for name, file in sorted({**parcel.files, pushing.CARD: None}.items()):
                    size = file.stat().st_size if file else len(parcel.card.encode())
                    print(f"{size:>13,}  {name}")
                print(
                    f"{parcel.size:,} bytes would go to {parcel.kind} {repo}"
                    f"{f' ({revision})' * bool(revision)}, license {parcel.license}",
                    file=sys.stderr,
                )
                return
            commit = pushing.push(parcel, repo, revision=revision, private=private,
                                  message=message)  # fmt: skip
        except pushing.HubError as error:
            wrong(str(error))
        way = f"--model {repo}@{commit}" if parcel.kind == "model" else f"{repo}@{commit}"
        print(f"pushed: {way}", file=sys.stderr)
