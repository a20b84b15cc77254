"""``export``, ``merge`` and ``push``: a model as one file or one folder, and a model or a dataset on the hub."""

from vlm_aes.cli import options as opt
from vlm_aes.cli.loading import say, say_loading
from vlm_aes.files import check_absent, check_place


def export(out: opt.OnnxFile, model: opt.Model, overwrite: opt.Overwrite) -> None:
    """Write a fast head as one ONNX file, checked against torch."""
    check_absent(out, overwrite=overwrite)
    check_place(out)
    say_loading(model)

    from vlm_aes.models.heads.export import export as write_onnx
    from vlm_aes.models.nano import NANO
    from vlm_aes.models.pretrained import LoadOptions
    from vlm_aes.models.registry import load_scorer

    scorer = load_scorer(model or NANO, fast=True, options=LoadOptions("fp32", "cpu"))
    difference = write_onnx(scorer, out)
    say(f"{out}: probabilities within {difference:.1g} of torch's")


def merge(
    model: opt.Finetuned,
    out: opt.ModelFolder,
    any_base: opt.AnyBase,
    precision: opt.Precision,
    overwrite: opt.Overwrite,
) -> None:
    """Merge a finetuned model's adapter into its base: one folder that needs neither."""
    check_absent(out, overwrite=overwrite)
    check_place(out, is_folder=True)
    say_loading(model)

    from vlm_aes.training import merge as merging

    merging.merge(model, out, precision=precision, any_base=any_base)
    say(f"{out}: it loads with --model {out}")


def push(
    folder: opt.Upload,
    repo: opt.Repository,
    license: opt.License,
    revision: opt.Revision,
    private: opt.Private,
    message: opt.Message,
    dry_run: opt.ListOnly,
) -> None:
    """Push a model or a dataset with its card to the Hugging Face hub."""
    from vlm_aes.models import hub

    hub.check_repository(repo)
    upload = hub.prepare_upload(folder, license)
    if dry_run:
        for name, size in upload.sizes:
            print(f"{size:>13,}  {name}")
        branch = f" ({revision})" if revision else ""
        say(f"{upload.size:,} bytes would go to {upload.kind} {repo}{branch}, license {upload.license}")
        return
    commit = hub.push(upload, repo, revision=revision, private=private, message=message)
    say(f"pushed: {'--model ' * (upload.kind == 'model')}{repo}@{commit}")
