"""``score``: the score of every image that is named, in the terminal or in a table."""

from __future__ import annotations

import sys

from vlm_aes.bulk.settings import RunSettings
from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if
from vlm_aes.cli.loading import console, say, say_loading


def score(
    paths: opt.Paths,
    image_column: opt.ImageColumn = None,
    model: opt.Model = None,
    fast: opt.Fast = False,
    precision: opt.Precision = "auto",
    device: opt.Device = "auto",
    rationale: opt.Rationale = False,
    facts: opt.Facts = False,
    attributes: opt.Attributes = False,
    scale: opt.Scale = None,
    stars: opt.Stars = None,
    stars_among: opt.StarsAmong = "reference",
    top_k: opt.TopK = None,
    fraction: opt.Fraction = None,
    threshold: opt.Threshold = None,
    per: opt.Per = "all",
    cascade: opt.Cascade = False,
    out: opt.Out = None,
    resume: opt.ResumeRun = False,
    overwrite: opt.OverwriteFiles = False,
    html: opt.Gallery = None,
    dataset: opt.Dataset = None,
    stats: opt.Stats = None,
    xmp: opt.Xmp = False,
    xmp_layout: opt.XmpLayout = "auto",
    overwrite_ratings: opt.OverwriteRatings = False,
    unrated: opt.Unrated = 0,
    dry_run: opt.DryRun = False,
    batch_size: opt.BatchSize = 16,
    engine: opt.Engine = "local",
    workers: opt.Workers = None,
) -> None:
    """Score photos: a list in the terminal, or rows in a table."""
    settings = RunSettings(**locals())  # every option is a setting of the same name
    say_loading(model)

    from vlm_aes.bulk.score import ScoreRun
    from vlm_aes.output.terminal import ScoreList

    run = ScoreRun(settings, sys.stdin)
    say(run.assessor.terms)
    if out is None:
        shown = ScoreList(console())
        for row in run.rows():
            shown.show(row)
    else:
        run.write()
    failed = run.export(print, say)
    run.summarize()
    exit_if(run.stats.errors or failed)
