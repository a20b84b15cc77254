"""``cull``: what to keep of a shoot, as a table in the terminal, and where photo programs read it."""

import sys

from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if
from vlm_aes.cli.loading import console, print_json, say, say_loading
from vlm_aes.cull.settings import CullSettings


def cull(
    paths: opt.PathsUnlessUndo,
    null: opt.NullIn,
    model: opt.CullModel,
    device: opt.Device,
    keep: opt.KeepCount,
    xmp: opt.CullXmp,
    dry_run: opt.CullDryRun,
    out: opt.CullTable,
    overwrite: opt.OverwriteTable,
    link: opt.LinkVerdicts,
    undo: opt.UndoCull,
    log: opt.CullLog,
    json: opt.Json,
) -> None:
    """Suggest what to keep of a shoot: the best of each burst, and sets whole.

    Bursts, brackets, panoramas and RAW+JPEG pairs are found first. Verdicts are keep, maybe, reject
    and set. Nothing is deleted, and --undo takes marks and links back.
    """
    settings = CullSettings(**{**locals(), "paths": paths or []})  # every option is a setting of the same name
    if undo is not None:
        say(f"Reading {undo} ...")
        from vlm_aes.cull.outputs import undo as undo_cull

        exit_if(undo_cull(undo, say))
        return
    say_loading(model)

    from vlm_aes.bulk.sources import listed_paths
    from vlm_aes.cull.outputs import as_json, write_outputs
    from vlm_aes.cull.shoot import cull_shoot
    from vlm_aes.cull.terminal import show_shoot

    shoot = cull_shoot(settings.paths, settings, stdin=listed_paths(sys.stdin, null=null), say=say)
    if json:
        print_json(as_json(shoot))
    else:
        show_shoot(shoot, console())
    failed = write_outputs(shoot, settings, say)
    for line in shoot.stats.passed_over.lines():
        say(line)
    exit_if(shoot.counts["error"] or shoot.stats.passed_over or failed)
