"""Sentences of the README and the docs, and how long they are.

Tables, code, headings, the log of experiments and the changelog do not count. Prints the figures
and the longest sentences with ``python -m benchmarks.prose``.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = {"cli.md"}
LOGS = {"log.md", "experiments.md", "critiques.md"}
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_CODE = re.compile(r"`[^`]*`")
_END = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(*_`]*[A-Z0-9`])")
_WORD = re.compile(r"[A-Za-z0-9][\w'’.,/%-]*")


def files() -> list[Path]:
    """The README, the contributor's guide and the docs that a person wrote to be read through."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    kept = [f for f in docs if f.name not in GENERATED | LOGS]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *kept]


def sentences(markdown: str) -> list[str]:
    """The sentences of running text and of list items; a code span counts as one word."""
    text = _COMMENT.sub("", _FENCE.sub("", markdown))
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        lines: list[str] = []
        for line in block.splitlines():
            plain = line.strip()
            if plain.startswith(("|", "#", "    ")) or line.startswith("    "):
                continue
            if re.match(r"([-*]|\d+\.)\s", plain):
                blocks.append(" ".join(lines))
                lines = [re.sub(r"^([-*]|\d+\.)\s+", "", plain)]
            else:
                lines.append(plain)
        blocks.append(" ".join(lines))
    found = []
    for block in blocks:
        plain = _CODE.sub("Code", _LINK.sub(r"\1", block)).replace(" · ", ". ")
        found += [s for s in _END.split(plain) if _WORD.search(s)]
    return found


def words(sentence: str) -> int:
    """Number of words of a sentence."""
    return len(_WORD.findall(sentence))


def main() -> None:
    """Print the figures of each file, then the longest sentences."""
    every = []
    for file in files():
        found = sentences(file.read_text(encoding="utf-8"))
        every += [(words(s), s, file.name) for s in found]
        counts = [words(s) for s in found] or [0]
        mean = sum(counts) / len(counts)
        print(f"{file.name:20} {len(found):4} sentences, mean {mean:4.1f}, longest {max(counts)}")
    print(f"all: mean {sum(n for n, _, _ in every) / len(every):.1f}")
    for count, sentence, name in sorted(every, reverse=True)[:15]:
        print(f"{count} {name}: {sentence[:150]}")


if __name__ == "__main__":
    main()
