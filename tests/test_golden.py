"""The commands give what they gave before: golden files, compared with what today's code gives.

``tests/golden/make.py`` runs the commands on sample photos and awkward files, and keeps rows, columns, exit codes,
kinds of errors, sidecars, choices, figures and what a gallery holds; wordings are free.

``python -m tests.golden.make`` renews the golden files, only where behaviour changes on purpose: a new column, an
option that goes, a mended fact, other weights, another version of a pinned dependency. The reason stands in the
changelog, and the difference is read line by line. What only moves or renames code renews nothing.
"""

import copy
import importlib.util
import json
from pathlib import Path

import pytest

from tests import read_files
from tests.golden import make

pytestmark = pytest.mark.timeout(900)
SHOWN = 25
"""Differences in a message at most."""
POINTS, PERCENTILE, RELATIVE, PROBABILITY, TENTH = 0.01, 0.06, 1e-3, 5e-4, 0.11
"""Of scores; of percentiles, which change five times as much; of facts; of probabilities; of tenths."""


def tolerance(where):
    """How far a number may be off, absolutely and relatively; ``where``: file, then keys."""
    file, name = where[0], where[-1]
    if name.startswith("fact_"):
        return 1e-5, RELATIVE
    if name.startswith("p_"):
        return (4 if file == "compare" else 1) * PROBABILITY, 0
    if "percentile" in name:
        return (TENTH if file == "sidecars" else PERCENTILE), 0
    if file == "sidecars" or (file == "stats" and name not in ("mean", "std")):
        return TENTH, 0
    if file == "evaluate":
        return (0.02 if "baselines" in where else 0.01), 0
    return (POINTS if name in ("score", "score_fast", "fast", "score_scaled") else 2 * POINTS), 0


def same(wanted, found, where):
    """Whether a value is as it was; of an image's mean colour and rounded attributes, about."""
    if isinstance(wanted, bool) or isinstance(found, bool) or None in (wanted, found):
        return wanted is found
    if not (isinstance(wanted, int | float) and isinstance(found, int | float)):
        return wanted == found
    if "thumbs" in where or "attributes" in where:
        return abs(wanted - found) <= 2
    if isinstance(wanted, int) and isinstance(found, int):
        return wanted == found
    far, share = tolerance(where)
    return abs(wanted - found) <= far + share * abs(wanted) + 1e-9


def differences(wanted, found, where):
    """Lines that name file, path and column of what is not as it was."""
    place = ", ".join(where)
    if isinstance(wanted, dict) and isinstance(found, dict):
        lines = [f"{place}, {key}: is gone" for key in wanted if key not in found]
        new = [key for key in found if key not in wanted]
        lines += [f"{place}, {key}: is new, {found[key]!r:.300}" for key in new]
        both = [key for key in wanted if key in found]
        if both != [key for key in found if key in wanted]:
            lines.append(f"{place}: another order")
        return lines + [line for key in both for line in differences(wanted[key], found[key], (*where, key))]
    if isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found) or all(isinstance(v, str) for v in wanted + found):
            return [] if wanted == found else [f"{place}: {_apart(wanted, found)}"]
        return [
            line
            for i, (a, b) in enumerate(zip(wanted, found, strict=True))
            for line in differences(a, b, (*where, str(i) if isinstance(a, list | dict) else where[-1]))
        ]
    return [] if same(wanted, found, where) else [f"{place}: {found!r}, was {wanted!r}"]


def _apart(wanted, found):
    """Of two lists, what is gone, what is new, or where the order begins to differ."""
    gone, new = ([v for v in a if v not in b] for a, b in ((wanted, found), (found, wanted)))
    if gone or new:
        return f"gone {gone}, new {new}"
    first = next((i for i, (a, b) in enumerate(zip(wanted, found)) if a != b), len(wanted))
    return f"another order or number from place {first}: {found[first:][:3]}, was {wanted[first:][:3]}"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    for name in make.NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    everything = make.everything(tmp_path_factory.mktemp("golden"))
    return json.loads(json.dumps(everything))


@pytest.mark.parametrize("name", make.FILES)
def test_as_before(found, name):
    lines = differences(make.load(name), found[name], (name,))
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    assert not lines, "\n".join([f"tests/golden/{name}.json:", *lines[:SHOWN], *more])


def leaves(value, where=()):
    """The places of all values in dictionaries and lists."""
    if isinstance(value, dict | list) and value:
        keys = value if isinstance(value, dict) else range(len(value))
        return [place for key in keys for place in leaves(value[key], (*where, key))]
    return [where]


def other(value):
    """A value that is not the same."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return type(value)(value * 1.01 + 3)
    return f"{value}?" if isinstance(value, str) else [*value, "more"]


@pytest.mark.parametrize("name", make.FILES)
def test_a_changed_value_is_told(name):
    golden = make.load(name)
    assert differences(golden, copy.deepcopy(golden), (name,)) == []
    places = leaves(golden)
    for *way, last in places[:: 1 + len(places) // 40]:
        changed = copy.deepcopy(golden)
        inner = changed
        for key in way:
            inner = inner[key]
        inner[last] = other(inner[last])
        assert differences(golden, changed, (name,)), (way, last)


def test_golden_files_are_small_and_all_compared():
    files = {file.stem: file.stat().st_size for file in make.GOLDEN.glob("*.json")}
    assert set(files) == set(make.FILES)
    assert sum(files.values()) < 400_000


def test_the_page_of_what_is_read_is_that_of_the_golden_rows():
    page = Path(__file__).parent.parent / "docs" / "reading.md"
    assert page.read_text(encoding="utf-8") == read_files.render(), "run: python -m tests.read_files"
