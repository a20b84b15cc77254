"""A first look at every picture of a table of pairs, and a split with no picture on two sides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vlm_aes.errors import TrainingError
from vlm_aes.ratings import splits
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.training.survey import SIDES, check_sides, look_at


@dataclass(frozen=True)
class PairSurvey:
    """What a first look at every picture of a table of pairs found.

    Attributes:
        table: with the pairs whose pictures can be opened, and the split of each.
        errors: path to why a picture cannot be opened.
        straddling: pairs left out because their pictures are on two sides.
        leaked: pairs outside training with a version of a picture in training; only where the
            table brings its own split.
    """

    table: PreferenceTable
    errors: dict[str, str]
    straddling: int
    leaked: int


def survey_pairs(
    table: PreferenceTable, validation: float, test: float, seed: int
) -> PairSurvey:  # fmt: skip
    """Open every picture and split the pairs, so that no picture is on two sides.

    Pairs that hang together by their pictures stay together. Where more than half of the pictures
    hang together, the pictures are split instead, and pairs between two sides are left out.

    Raises:
        TrainingError: where too little is left to train on and to choose by.
    """
    used = sorted({end for pair in table.pairs for end in (pair.a, pair.b)})
    looked = look_at(table.paths[end] for end in used)
    place = {used[i]: at for at, i in enumerate(looked.good)}
    rows = [i for i, pair in enumerate(table.pairs) if pair.a in place and pair.b in place]
    found = table.select(rows)
    ends = [(place[pair.a], place[pair.b]) for pair in found.pairs]
    own = any(pair.split for pair in found.pairs)
    pictures = splits.clusters(len(place), looked.alike)
    straddling = leaked = 0
    if own:
        empty = next((pair.row for pair in found.pairs if not pair.split), None)
        if empty is not None:
            raise TrainingError(
                f"{table.name}, row {empty}, column split: empty; give every pair a split, or none"
            )
        trained = {
            int(pictures[end]) for pair, both in zip(found.pairs, ends, strict=True)
            for end in both if pair.split == "train"
        }  # fmt: skip
        leaked = sum(
            pair.split != "train" and any(int(pictures[end]) in trained for end in both)
            for pair, both in zip(found.pairs, ends, strict=True)
        )
    else:
        cluster = splits.clusters(len(place), looked.alike + ends)
        if np.bincount(cluster).max(initial=0) > len(place) / 2:
            cluster = pictures
        try:
            sides = splits.split(
                cluster, looked.contents, validation=validation, test=test, seed=seed
            )
        except ValueError as error:
            raise TrainingError(str(error)) from None
        kept = [
            replace(pair, split=sides[a])
            for pair, (a, b) in zip(found.pairs, ends, strict=True) if sides[a] == sides[b]
        ]  # fmt: skip
        straddling = len(found) - len(kept)
        found = replace(found, pairs=kept)
    check_sides(table.name, "pairs", {name: len(found.of_split(name)) for name in SIDES})
    errors = {table.paths[used[i]]: why for i, why in looked.errors.items()}
    return PairSurvey(found, errors, straddling, leaked)
