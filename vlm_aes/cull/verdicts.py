"""Verdicts: keep, maybe, reject, set. They are suggestions; nothing is deleted by them.

With a target, about as many frames are kept. Without one, a verdict says what can be said surely: the clear winner of a
burst is kept, the clear losers go, and all else is for the photographer to decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlm_aes.bulk.select.groups import Group
from vlm_aes.cull.ranking import TOO_CLOSE_MARGIN, Frame, Ranked, margin

VERDICTS = ("keep", "maybe", "reject", "set")
KEPT_SINGLES_SHARE = 0.25
"""Share of frames outside of bursts that are kept without a target: those that the model rates highest."""
SPOILED_POINTS = 30.0
"""Points behind the best of the group from which on a frame goes, though it is another picture: closed eyes, blur."""
MISFIRE_BLOWN_SHARE, MISFIRE_BLACK_SHARE = 0.6, 0.9
"""Shares of blown-out and of black pixels from which on a frame is a misfire."""
REPEATED_POINTS = 2.0
"""Points by which a group that was pressed twice as often comes first: it mattered to the photographer."""
SET_NAMES = {
    "bracket": "exposure bracket",
    "wb_bracket": "white-balance bracket",
    "focus_stack": "focus stack",
    "pixel_shift": "pixel-shift set",
    "hdr": "HDR set",
    "panorama": "panorama",
    "timelapse": "timelapse",
}
"""Kind of a set to what it is called."""


@dataclass(frozen=True)
class Verdict:
    """What is suggested for one frame, and why.

    Attributes:
        verdict: one of :data:`VERDICTS`.
        rank: in its group, from 1; None in a set, which has no winner.
        margin: to the next frame of the group, 0 to 1; None in a set, and for a single frame.
    """

    verdict: str
    reason: str
    rank: int | None = None
    margin: float | None = None


@dataclass(frozen=True)
class _Candidate:
    """A frame that may be kept: the best of a picture.

    Attributes:
        turn: 0 for the best of a group, 1 for the best of another picture in it.
    """

    member: int
    turn: int
    worth: float


def suggest_verdicts(
    groups: Sequence[Group],
    ranked: Sequence[Sequence[Ranked]],
    frames: Sequence[Frame],
    keep: int | None = None,
    best_exposures: dict[str, int] | None = None,
) -> dict[int, Verdict]:
    """A verdict for every member of the groups, by its number.

    Args:
        ranked: of each group, the best first; empty for a set.
        frames: all frames of the shoot.
        keep: about as many frames are kept, beside the sets.
        best_exposures: key of a bracket to its frame with the best exposure.
    """
    verdicts: dict[int, Verdict] = {}
    candidates: list[_Candidate] = []
    for group, order in zip(groups, ranked, strict=True):
        if group.is_set:
            best = (best_exposures or {}).get(group.key)
            verdicts |= _set_verdicts(group, None if best is None else frames[best].name)
        else:
            verdicts |= _burst_verdicts(group, order, frames)
            candidates += _candidates(group, order, frames)
    usable = [c for c in candidates if verdicts[c.member].verdict != "reject"]
    if keep is None:
        kept = _surely_kept(groups, frames, verdicts)
    else:
        usable.sort(key=lambda c: (c.turn, -c.worth, c.member))
        kept = {c.member for c in usable[:keep]}
    for member, verdict in verdicts.items():
        is_kept = member in kept and verdict.verdict != "set"
        if is_kept or verdict.verdict == "keep":
            name = "keep" if is_kept or keep is None else "maybe"
            verdicts[member] = Verdict(name, verdict.reason, verdict.rank, verdict.margin)
    return verdicts


def set_reason(group: Group) -> str:
    """Why the frames of a set are neither kept nor rejected one by one."""
    return f"{SET_NAMES.get(group.kind, group.kind)} of {len(group.members)}, stays together"


def _set_verdicts(group: Group, best: str | None) -> dict[int, Verdict]:
    reason = set_reason(group) + (f"; best exposure {best}" if best else "")
    return {member: Verdict("set", reason) for member in group.members}


def _burst_verdicts(group: Group, order: Sequence[Ranked], frames: Sequence[Frame]) -> dict[int, Verdict]:
    """Of a burst: ``keep`` for a clear winner, ``reject`` for what is clearly worse than the same picture's best."""
    if len(order) == 1:
        member = order[0].member
        misfire, score = _misfire(frames[member]), frames[member].score
        single = "single frame" + ("" if score is None else f", rated {score:.0f}")
        return {member: Verdict("reject" if misfire else "maybe", misfire or single, 1)}
    picture = dict(zip(group.members, group.subgroups, strict=True))
    best_of: dict[int, float] = {}
    verdicts = {}
    for one in order:
        best = best_of.setdefault(picture[one.member], one.points)
        behind_picture, behind_group = best - one.points, order[0].points - one.points
        if one.rank == 1:
            name = "maybe" if one.too_close else "keep"
        elif behind_group >= SPOILED_POINTS or (behind_picture > 0 and margin(behind_picture) >= TOO_CLOSE_MARGIN):
            name = "reject"
        else:
            name = "maybe"
        verdicts[one.member] = Verdict(name, one.reason, one.rank, one.margin)
    return verdicts


def _misfire(frame: Frame) -> str:
    """Why a frame that stands alone shows nothing; empty for a photo."""
    if frame.warning == "blank":
        return "blank"
    signals = frame.signals
    if signals is not None and signals.clipped_high >= MISFIRE_BLOWN_SHARE:
        return "blown out"
    if signals is not None and signals.clipped_low >= MISFIRE_BLACK_SHARE:
        return "black"
    return ""


def _candidates(group: Group, order: Sequence[Ranked], frames: Sequence[Frame]) -> list[_Candidate]:
    """The best frame of each picture in a group, the group's winner first."""
    picture = dict(zip(group.members, group.subgroups, strict=True))
    seen: set[int] = set()
    candidates = []
    for one in order:
        if picture[one.member] not in seen:
            seen.add(picture[one.member])
            score = frames[one.member].score
            worth = -math.inf if score is None else score + REPEATED_POINTS * math.log2(len(order))
            candidates.append(_Candidate(one.member, min(1, one.rank - 1), worth))
    return candidates


def _surely_kept(groups: Sequence[Group], frames: Sequence[Frame], verdicts: dict[int, Verdict]) -> set[int]:
    """Without a target: the frames outside of bursts that the model rates highest. Winners of bursts are kept
    already."""
    singles = [g.members[0] for g in groups if len(g.members) == 1 and not g.is_set]
    singles = [m for m in singles if verdicts[m].verdict == "maybe"]
    scores = [s for m in singles if (s := frames[m].score) is not None]
    if not scores:
        return set()
    limit = float(np.quantile(scores, 1 - KEPT_SINGLES_SHARE))
    return {m for m in singles if (s := frames[m].score) is not None and s >= limit}
