"""``score``: the score of every image that is named, in the terminal or in a table."""

import sys

from vlm_aes.bulk.settings import RunSettings
from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if
from vlm_aes.cli.loading import console, say, say_loading


def score(
    paths: opt.Paths,
    null: opt.NullIn,
    image_column: opt.ImageColumn,
    model: opt.Model,
    fast: opt.Fast,
    any_base: opt.AnyBase,
    precision: opt.Precision,
    device: opt.Device,
    rationale: opt.Rationale,
    facts: opt.Facts,
    attributes: opt.Attributes,
    tags: opt.Tags,
    scale: opt.Scale,
    stars: opt.Stars,
    stars_among: opt.StarsAmong,
    top_k: opt.TopK,
    fraction: opt.Fraction,
    threshold: opt.Threshold,
    per: opt.Per,
    cascade: opt.Cascade,
    out: opt.Out,
    resume: opt.ResumeRun,
    overwrite: opt.OverwriteFiles,
    html: opt.Gallery,
    dataset: opt.Dataset,
    stats: opt.Stats,
    xmp: opt.Xmp,
    xmp_layout: opt.XmpLayout,
    overwrite_ratings: opt.OverwriteRatings,
    unrated: opt.Unrated,
    caption: opt.Caption,
    dry_run: opt.DryRun,
    batch_size: opt.BatchSize,
    engine: opt.Engine,
    workers: opt.Workers,
) -> None:
    """Score photos: a list in the terminal, or rows in a table."""
    settings = RunSettings(**locals())  # every option is a setting of the same name
    say_loading(model)

    from vlm_aes.bulk.score import ScoreRun
    from vlm_aes.bulk.sources import listed_paths
    from vlm_aes.output.terminal import ScoreList

    run = ScoreRun(settings, listed_paths(sys.stdin, null=null))
    say(run.assessor.terms)
    if out is None:
        shown = ScoreList(console())
        for row in run.rows():
            shown.show(row)
    else:
        run.write()
    failed = run.export(print, say)
    run.summarize()
    exit_if(run.stats.errors or run.stats.passed_over or failed)
