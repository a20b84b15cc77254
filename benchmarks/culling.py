"""``cull`` on a made shoot whose truth is known: sets, groups, pairs of RAW and JPEG, and what wins.

    python benchmarks/culling.py PHOTOS OUT [--frames 300] [--faces PHOTOS] [--seed 0] [--model DIR]
        [--json FILE]

Makes the shoot (benchmarks/made_shoot.py), culls it with the package, and prints, each with its 95%
interval: sets preserved (in one group, every frame with the verdict set), groups found (of all
pairs of frames that the program puts together, those that belong together, and the reverse),
blurred frames that win their group or are kept, and the choice inside bursts: of cull, of the fast
head alone, of sharpness alone, and at random. An OUT with a truth.jsonl is culled as it is.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from made_shoot import make_shoot, shoot_options
from scipy.stats import binomtest

from vlm_aes.evaluation.groups import CUT_SHARES_PCT, GroupReport, compare_in_groups
from vlm_aes.stats import metrics
from vlm_aes.stats.metrics import Estimate

Row = Mapping[str, Any]
SETS = {"bracket", "wb_bracket", "focus_stack", "pixel_shift", "hdr", "panorama", "timelapse"}
VERDICT_ORDER = {"reject": 0, "maybe": 1, "keep": 2, "set": 2}
LOSING_FAULTS = {"blur", "eyes"}


def share(hits: int, n: int) -> Estimate | None:
    """A share with its exact interval (Clopper and Pearson), which is honest at 0 and 100%."""
    if not n:
        return None
    interval = binomtest(hits, n).proportion_ci()
    return Estimate(hits / n, float(interval.low), float(interval.high))


def exposures(truth: Iterable[Row], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One record an exposure: its truth, and what cull says of it, with the names of cull in ``said``.

    An exposure without a row has an empty one: it is in no group, and has no verdict.
    """
    by_name = {Path(row["path"]).name: row for row in rows}
    records: dict[str, dict[str, Any]] = {}
    for row in truth:
        said = by_name.get(Path(row["path"]).name)
        record = records.setdefault(row["unit"], {**row, "said": {}, "units": []})
        record["units"].append(None if said is None else said.get("unit"))
        record["said"] = record["said"] or said or {}
    return list(records.values())


def _members(keys: Iterable[Any]) -> list[set[int]]:
    groups: dict[Any, set[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, set()).add(i)
    return list(groups.values())


def pairs_shared(groups: Sequence[set[int]], others: Sequence[set[int]]) -> Estimate | None:
    """Of the pairs inside ``groups``, the share that is inside one of ``others``, too; interval over groups."""
    place = {i: n for n, group in enumerate(others) for i in group}
    pairs = [list(combinations(sorted(group), 2)) for group in groups if len(group) > 1]
    if not pairs:
        return None
    inside = np.array([sum(place[a] == place[b] for a, b in own) for own in pairs], dtype=float)
    n = np.array([len(own) for own in pairs], dtype=float)
    return metrics.bootstrap(lambda a, b: float(a.sum() / b.sum()), inside, n)


def set_figures(records: Sequence[Mapping[str, Any]]) -> dict[str, Estimate | None]:
    """Sets preserved, by kind and over all, and those whose kind is named right."""
    preserved: Counter[str] = Counter()
    named: Counter[str] = Counter()
    n: Counter[str] = Counter()
    for group in _members(r["group"] for r in records):
        members = [records[i] for i in group]
        kind = members[0]["kind"]
        if kind not in SETS:
            continue
        said = [m["said"] for m in members]
        whole = len({s.get("group") for s in said}) == 1 and all(s.get("verdict") == "set" for s in said)
        for key in (kind, "all"):
            n[key] += 1
            preserved[key] += whole
            named[key] += whole and said[0].get("group_kind") == kind
    found = {f"sets preserved, {kind}": share(preserved[kind], n[kind]) for kind in sorted(n)}
    return found | {"sets named right": share(named["all"], n["all"])}


def grouping_figures(records: Sequence[Mapping[str, Any]]) -> dict[str, Estimate | None]:
    """Precision and recall over pairs of exposures, and RAW+JPEG pairs that are one unit."""
    true = _members(r["group"] for r in records)
    found = _members(r["said"].get("group") or f"none {i}" for i, r in enumerate(records))
    paired = [r["units"] for r in records if len(r["units"]) > 1]
    one = sum(len(set(units)) == 1 and units[0] is not None for units in paired)
    strays = [r for r in records if r["kind"] not in SETS]
    taken = sum(r["said"].get("verdict") == "set" for r in strays)
    return {
        "grouping precision": pairs_shared(found, true),
        "grouping recall": pairs_shared(true, found),
        "RAW+JPEG pairs one unit": share(one, len(paired)),
        "other frames taken for a set": share(taken, len(strays)),
    }


def fault_figures(records: Sequence[Mapping[str, Any]]) -> dict[str, Estimate | None]:
    """How often a frame with a planted fault wins a group of two or more, or is kept."""
    sizes = Counter(r["said"].get("group") for r in records)
    figures = {}
    for fault in sorted({r["fault"] for r in records} - {""}):
        own = [r["said"] for r in records if r["fault"] == fault]
        wins = sum((s.get("rank") == 1 and sizes[s.get("group")] > 1) or s.get("verdict") == "keep" for s in own)
        figures[f"{fault} wins or is kept"] = share(wins, len(own))
    return figures


def choice_scores(
    records: Sequence[Mapping[str, Any]], sharpness: Mapping[str, float]
) -> dict[str, list[float | None]]:
    """A score of each exposure by each way to choose."""
    said = [r["said"] for r in records]
    ranks = [
        1000.0 * VERDICT_ORDER[s["verdict"]] - (s.get("rank") or 0) if s.get("verdict") in VERDICT_ORDER else None
        for s in said
    ]
    return {
        "cull": ranks,
        "fast head alone": [s.get("score") for s in said],
        "sharpness alone": [sharpness.get(r["unit"]) for r in records],
    }


def choices(records: Sequence[Mapping[str, Any]], sharpness: Mapping[str, float]) -> dict[str, GroupReport]:
    """How each way to choose does inside the bursts; sets and single frames count where a cut is made."""
    names = [r["group"] if r["kind"] == "burst" else "" for r in records]
    ratings = [r["rating"] for r in records]
    return {
        name: compare_in_groups(names, ratings, scores) for name, scores in choice_scores(records, sharpness).items()
    }


def print_choices(reports: Mapping[str, GroupReport]) -> None:
    """A line for each way to choose, and one for chance."""
    first = next(iter(reports.values()))
    print(f"\n{first.n} bursts of {first.n_images} frames, {first.n_pairs} pairs; planted faults against the rest")
    print(f"{'':<18} {'top-1':<24} {'pairs':<24} keepers lost at {CUT_SHARES_PCT}%")
    for name, report in reports.items():
        lost = " ".join(f"{e.value:.3f}" for e in report.keepers_lost.values() if e is not None)
        print(f"{name:<18} {report.top1!s:<24} {report.pair_accuracy!s:<24} {lost}")
    print(
        f"{'at random':<18} {first.random_top1!s:<24} {0.5:<24.3f} "
        + " ".join(f"{c / 100:.3f}" for c in CUT_SHARES_PCT)
    )


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def main() -> None:
    parser = shoot_options(__doc__)
    parser.add_argument("--model", help="with a fast head; default: the embedded checkpoint")
    parser.add_argument("--json", type=Path, help="file for the figures")
    a = parser.parse_args()
    if not (a.out / "truth.jsonl").exists():
        make_shoot(a.photos, a.out, a.frames, a.faces, a.seed)
    truth = [json.loads(line) for line in (a.out / "truth.jsonl").read_text().splitlines()]

    from vlm_aes.cull.settings import CullSettings
    from vlm_aes.cull.shoot import cull_shoot

    settings = CullSettings(paths=[str(a.out / "shoot")], model=a.model)
    begin = time.perf_counter()
    shoot = cull_shoot(settings.paths, settings, cache=a.out / "cache")
    seconds = time.perf_counter() - begin
    sharpness = {Path(f.unit.main).name: f.signals.sharpness for f in shoot.frames if f.signals is not None}
    records = exposures(truth, shoot.rows)
    print(f"{len(truth)} files, {len(records)} exposures in {seconds:.0f} s, {len(records) / seconds:.1f} a second")
    for note in shoot.notes:
        print(note)
    figures = set_figures(records) | grouping_figures(records) | fault_figures(records)
    for name, estimate in figures.items():
        print(f"{name:<32} {estimate}")
    reports = choices(records, sharpness)
    print_choices(reports)
    if a.json:
        values = {"seconds": seconds, **{name: _plain(e) for name, e in figures.items()}}
        values |= {"choices": {name: report.as_json() for name, report in reports.items()}}
        a.json.write_text(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
