"""The structure of the package as numbers: rooms, arrows between them, names.

A room is a module or package directly below ``vlm_aes``. An arrow is drawn from one room to
another that it imports. Prints the numbers with ``python -m benchmarks.structure``.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "vlm_aes"

FLOORS = (
    ("errors", "files", "prompts"),
    ("images",),
    ("ratings", "stats"),
    ("measure",),
    ("models",),
    ("suggest",),
    ("critique",),
    ("assessor",),
    ("output",),
    ("evaluation", "explain"),
    ("training",),
    ("bulk",),
    ("cull",),
    ("__init__",),
    ("demo",),
    ("cli",),
)
"""Rooms from the lowest floor to the highest. A room imports rooms of lower floors alone."""

SHARED = frozenset({"errors", "files"})
"""Rooms that every other room may import, also those of their own floor."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name below the package to file, for every module; ``__init__`` for the package."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(p for p in parts if p != "__init__")
        found[name or "__init__"] = file
    return found


def imported(name: str, file: Path) -> Iterator[str]:
    """Dotted names below the package that a module imports, anywhere in it."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    known = modules()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name.removeprefix("vlm_aes.") for a in node.names if "vlm_aes." in a.name)
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = package[: len(package) - node.level + 1] + base
            elif base[:1] == ["vlm_aes"]:
                base = base[1:]
            else:
                continue
            for alias in node.names:
                full = ".".join([*base, alias.name])
                yield full if full in known else ".".join(base) or "__init__"


def room(name: str) -> str:
    """The room of a module."""
    return name.split(".", maxsplit=1)[0]


@cache
def arrows() -> dict[tuple[str, str], list[str]]:
    """(room, room that it imports) to the modules of the first that do."""
    drawn: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, file in modules().items():
        for other in imported(name, file):
            if room(other) != room(name):
                drawn[room(name), room(other)].append(name)
    return dict(drawn)


def upward() -> dict[tuple[str, str], list[str]]:
    """The arrows that do not point to a lower floor, nor to a shared room."""
    floor = {name: height for height, names in enumerate(FLOORS) for name in names}
    return {(a, b): names for (a, b), names in arrows().items() if floor[a] <= floor[b] and b not in SHARED}


def class_names() -> dict[str, list[str]]:
    """Class name to the modules that define one of it."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, file in modules().items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(name)
    return found


def constant_names() -> dict[str, set[str]]:
    """Module-level constant, without a leading underscore, to the modules that define it."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, file in modules().items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            for target in targets:
                for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(part, ast.Name) and part.id.isupper():
                        found[part.id.lstrip("_")].add(name)
    return found


def main() -> None:
    """Print the numbers."""
    files = modules()
    lines = sum(len(f.read_text(encoding="utf-8").splitlines()) for f in files.values())
    print(f"{len({room(name) for name in files})} rooms, {len(arrows())} arrows, {len(upward())} upwards")
    print(f"{len(files)} modules, {lines} lines")
    print("classes of one name:", {n: m for n, m in class_names().items() if len(m) > 1})
    print("constants in over two:", {n: m for n, m in constant_names().items() if len(m) > 2})


if __name__ == "__main__":
    main()
