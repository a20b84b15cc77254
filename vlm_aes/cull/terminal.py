"""The verdicts of a shoot in the terminal: one line a burst or set, and what was counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from vlm_aes.bulk.select.groups import Group
from vlm_aes.cull.ranking import Frame
from vlm_aes.cull.shoot import Shoot
from vlm_aes.cull.verdicts import SET_NAMES, VERDICTS, set_reason
from vlm_aes.files import printable
from vlm_aes.output.terminal import count_text, shorten

VERDICT_COLORS = {"keep": "green", "maybe": "yellow", "reject": "red", "set": "blue"}
FRAMES_WIDTH, BEST_WIDTH, VERDICT_WIDTH = 24, 16, 25
"""Terminal cells of the columns with the first and last frame, with the best frame, and with the verdicts."""
LISTED_SINGLES = 12
"""Single frames of a verdict that are named; the rest is counted."""


def show_shoot(shoot: Shoot, console: Console) -> None:
    """Print the groups by time, the single frames by verdict, and the counts."""
    several = sorted((g for g in shoot.groups if len(g.members) > 1), key=lambda g: _start(g, shoot))
    if several:
        columns = (("time", 8), ("frames", FRAMES_WIDTH), ("verdict", VERDICT_WIDTH), ("best", BEST_WIDTH))
        heading = "  ".join(f"{name:<{width}}" for name, width in columns)
        console.print(f"[bold]{heading}  why[/bold]", soft_wrap=True)
    for group in several:
        console.print(_group_line(group, shoot), soft_wrap=True)
    _show_singles(shoot, console)
    console.print(summary(shoot), soft_wrap=True)
    for note in shoot.notes:
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def summary(shoot: Shoot) -> str:
    """The counts in one line of markup."""
    counts = shoot.counts
    files, sets = len(shoot.rows), [g for g in shoot.groups if g.is_set]
    bursts = sum(len(g.members) > 1 and not g.is_set for g in shoot.groups)
    parts = [f"[{VERDICT_COLORS[name]}]{counts[name]} {name}[/]" for name in VERDICTS if name != "set"]
    if sets:
        parts.append(f"[blue]{count_text(len(sets), 'set')} of {counts['set']} frames, whole[/]")
    if counts["error"]:
        parts.append(f"[red]{count_text(counts['error'], 'file')} not read[/red]")
    head = f"{count_text(files, 'file')}, {count_text(len(shoot.frames), 'exposure')}, {count_text(bursts, 'burst')}"
    return f"\n[bold]{head}[/bold]: " + ", ".join(parts)


def _group_line(group: Group, shoot: Shoot) -> str:
    frames = [shoot.frames[m] for m in group.members]
    verdicts = [shoot.verdicts[m] for m in group.members]
    time, span = _clock(frames[0]), _span(frames)
    if group.is_set:
        named = SET_NAMES.get(group.kind, group.kind)
        chosen = shoot.best_exposures.get(group.key)
        best = "" if chosen is None else shoot.frames[chosen].name
        counted = f"[blue]{shorten(named, VERDICT_WIDTH)}[/blue]"
        why = set_reason(group)
    else:
        first = next(m for m in group.members if shoot.verdicts[m].rank == 1)
        counts = Counter(verdict.verdict for verdict in verdicts)
        best, why = shoot.frames[first].name, shoot.verdicts[first].reason
        words = [(f"{counts[n]} {n}", VERDICT_COLORS[n]) for n in ("keep", "maybe", "reject") if counts[n]]
        width = len(", ".join(text for text, _ in words))
        counted = ", ".join(f"[{color}]{text}[/]" for text, color in words) + " " * (VERDICT_WIDTH - width)
    cells = (time, escape(shorten(span, FRAMES_WIDTH)), counted, escape(shorten(best, BEST_WIDTH)), escape(why))
    return "  ".join(cells)


def _show_singles(shoot: Shoot, console: Console) -> None:
    """Frames that stand alone: how many of each verdict, and the first names."""
    names: dict[str, list[str]] = {}
    for group in shoot.groups:
        if len(group.members) == 1 and not group.is_set:
            member = group.members[0]
            names.setdefault(shoot.verdicts[member].verdict, []).append(shoot.frames[member].name)
    if names:
        console.print("\n[bold]single frames[/bold]")
    for verdict in VERDICTS:
        if listed := names.get(verdict):
            more = f", and {len(listed) - LISTED_SINGLES} more" if len(listed) > LISTED_SINGLES else ""
            text = escape(printable(", ".join(listed[:LISTED_SINGLES])))
            console.print(f"[{VERDICT_COLORS[verdict]}]{len(listed)} {verdict}[/]: {text}{more}", soft_wrap=True)


def _start(group: Group, shoot: Shoot) -> tuple[float, int]:
    """When a group begins; those without a time come last, in the order of their files."""
    time_s = shoot.frames[group.members[0]].capture.time_s
    return math.inf if time_s is None else time_s, min(group.members)


def _clock(frame: Frame) -> str:
    if frame.capture.time_s is None:
        return " " * 8
    return datetime.fromtimestamp(frame.capture.time_s, UTC).strftime("%H:%M:%S")


def _span(frames: Sequence[Frame]) -> str:
    """How many frames, and the names of the first and the last."""
    first, last = frames[0].name.rpartition(".")[0], frames[-1].name.rpartition(".")[0]
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    while same and first[same - 1].isdigit():  # numbers stay whole
        same -= 1
    return printable(f"{len(frames)}: {first} to {last[same:] or last}")
