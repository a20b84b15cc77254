"""Commands killed at random moments: is anything lost, twice or torn?

    python -m benchmarks.kills --rounds 200 [--seed 0]
    python -m benchmarks.kills --full-disk PLACE

A round starts one command on a few small sample photos and kills it (SIGKILL) at a random point of its progress.
What lies there then must be whole. The same call again must refuse and change nothing, unless nothing was begun.
Gone on with, the result must equal that of an undisturbed run. The photos must be as they were.

``--full-disk`` fills a small disk at PLACE (``mount -t tmpfs -o size=2m none PLACE``) while a table is written there.
The call must end with exit 2 and a message, and the resumed table must equal the undisturbed one.
"""

import csv
import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from benchmarks.options import options
from vlm_aes.images.samples import write_samples

PHOTOS, SIDE_PX = 4, 96
"""Number of photos, and their long side."""
NEAR = 0.01
"""Largest difference of a number that another batch may make."""
LATE_S = 0.3
"""Longest wait between the point of progress that was drawn and the kill, in seconds."""
SIGNS = ("t.*.part/_manifest.json", "t.csv", "t.jsonl", "best/*.jsonl")
"""Files that tell that a command had begun its work."""
Content = dict[str, Any]


@dataclass
class Command:
    """A command, how far it has come, what it has written, and how it is gone on with.

    Attributes:
        words: of the command line.
        steps: gives the number of steps done so far in a work folder.
        result: gives what is written, by name. Raises ValueError for a file that is torn.
        first: words of a call that comes before it is gone on with; none to add ``--resume`` to its own.
    """

    words: str
    steps: Callable[[Path], int]
    result: Callable[[Path], Content]
    first: str = ""
    counts: Counter[str] = field(default_factory=Counter)


def call(work: Path, words: str, **streams: Any) -> subprocess.Popen[str]:
    """``vlm-aes`` in a work folder."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vlm_aes.cli", *words.split()]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True} | streams
    return subprocess.Popen(command, cwd=work, env=environment, **pipes)


def ended(work: Path, words: str) -> tuple[int, str]:
    """Exit code and last line of stderr of a call."""
    process = call(work, words)
    said = process.communicate()[1].strip()
    return process.returncode, said.rpartition("\n")[2]


def rows_of(file: Path) -> Content:
    """Rows of a table by path. Raises ValueError for a row that is cut off, or is there twice."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [json.loads(line) for line in lines] if file.suffix == ".jsonl" else list(csv.DictReader(lines))
    if any(None in row.values() and file.suffix == ".csv" for row in rows):
        raise ValueError(f"{file.name} is torn")
    if len({row["path"] for row in rows}) < len(rows):
        raise ValueError(f"{file.name} holds a row twice")
    return {row["path"]: row for row in rows}


def written(work: Path) -> Content:
    """Tables with their rows, sidecars with their bytes, links with their targets."""
    found: Content = {file.name: rows_of(file) for file in work.glob("t.*") if file.is_file()}
    for sidecar in work.glob("photos/*.xmp"):
        try:
            ElementTree.parse(sidecar)
        except ElementTree.ParseError:
            raise ValueError(f"{sidecar.name} is torn") from None
        found[sidecar.name] = sidecar.read_bytes()
    links = [link for link in work.glob("best/*") if link.is_symlink()]
    return found | {link.name: link.readlink().name for link in links}


def journal_lines(work: Path) -> int:
    """Rows in the journal; with the sidecars and the links that are there."""
    lines = sum(file.read_bytes().count(b"\n") for file in work.glob("t.*.part/_journal*"))
    return lines + sum(1 for pattern in ("photos/*.xmp", "best/*") for _ in work.glob(pattern))


def commands() -> list[Command]:
    """What is killed."""
    score = "score photos --batch-size 1"
    return [
        Command(f"{score} --fast --out t.csv", journal_lines, written),
        Command(f"{score} --rationale --out t.jsonl", journal_lines, written),
        Command(f"{score} --fast --xmp --out t.csv", journal_lines, written),
        Command("choose ../table.csv --fraction 1 --link best", journal_lines, written, "choose --undo best"),
    ]


def equal(one: Any, other: Any) -> bool:
    """Equal; numbers, also as texts, within :data:`NEAR`."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    try:
        return one == other or abs(float(one) - float(other)) <= NEAR
    except (TypeError, ValueError):
        return False


def hashes(folder: Path) -> dict[str, str]:
    """Photos and their hashes."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*.png"))}


def kill(command: Command, work: Path, at_step: int, late_s: float) -> bool:
    """Start a command and kill it at a step; whether it was still running."""
    process = call(work, command.words, stderr=subprocess.DEVNULL)
    while process.poll() is None and command.steps(work) < at_step:
        time.sleep(0.002)
    if process.poll() is None:
        time.sleep(late_s)
    process.kill()
    return process.wait() < 0


def one_round(command: Command, work: Path, whole: Content, rng: random.Random, steps: int) -> None:
    """Kill, look, go on, compare. Raises ValueError for what is not as it must be."""
    photos = hashes(work / "photos")
    killed = kill(command, work, rng.randint(0, steps), rng.uniform(0, LATE_S))
    command.counts["kills" if killed else "ended before the kill"] += 1
    left = command.result(work)
    if not all(equal(content, whole.get(name)) for name, content in left.items()):
        raise ValueError("what lies there after the kill is not whole")
    begun = any(file for sign in SIGNS for file in work.glob(sign))
    command.counts["amid the work"] += killed and begun
    before = command.steps(work)
    code, said = ended(work, command.words)
    if begun:
        if code != 2 or command.steps(work) != before or command.result(work).keys() != left.keys():
            raise ValueError(f"the same call again ended with {code}: {said}")
        if command.first:
            code, said = ended(work, command.first)
        code, said = ended(work, command.words + ("" if command.first else " --resume"))
    if code != 0:
        raise ValueError(f"gone on with, it ended with {code}: {said}")
    if not equal(command.result(work), whole):
        raise ValueError("gone on with, the result is not that of an undisturbed run")
    if hashes(work / "photos") != photos:
        raise ValueError("a photo has changed")
    if any(work.glob("*.part")):
        raise ValueError("FILE.part/ is left over")
    command.counts["temporary files left"] += sum(1 for _ in work.rglob(".*.tmp"))


def make_photos(folder: Path) -> None:
    """A few small sample photos."""
    with tempfile.TemporaryDirectory() as samples:
        for file in sorted(write_samples(Path(samples)))[:PHOTOS]:
            with Image.open(file) as image:
                image.thumbnail((SIDE_PX, SIDE_PX))
                folder.mkdir(exist_ok=True)
                image.save(folder / f"{file.stem}.png")


def fresh(place: Path, name: str) -> Path:
    """A work folder with the photos, and nothing else."""
    work = place / name
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(place / "photos", work / "photos")
    return work


def kill_all(place: Path, rounds: int, seed: int) -> bool:
    """Rounds over all commands in turn; prints a line a command. Whether all was well."""
    rng, todo, well = random.Random(seed), commands(), True
    undisturbed: list[tuple[Content, int]] = []
    for command in todo:
        work = fresh(place, "whole")
        code, said = ended(work, command.words)
        if code:
            raise SystemExit(f"vlm-aes {command.words}: {said}")
        if not (place / "table.csv").exists():
            shutil.copyfile(work / "t.csv", place / "table.csv")
        undisturbed.append((command.result(work), PHOTOS * (1 + ("--xmp" in command.words))))
    for number, (command, (whole, steps)) in zip(range(rounds), itertools.cycle(zip(todo, undisturbed, strict=True))):
        try:
            one_round(command, fresh(place, "work"), whole, rng, steps)
        except ValueError as error:
            well = False
            command.counts["FAILED"] += 1
            print(f"round {number}: vlm-aes {command.words}: {error}", flush=True)
    for command in todo:
        print(f"vlm-aes {command.words}: {', '.join(f'{n} {what}' for what, n in command.counts.items())}")
    return well


def fill(place: Path, disk: Path) -> bool:
    """A run on a disk that is full; whether it ended well, and could be gone on with."""
    command, work = commands()[0], fresh(place, "whole")
    ended(work, command.words)
    whole, ballast, out = written(work), disk / "ballast", disk / "t.csv"
    room = os.statvfs(disk)
    ballast.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - 4096)))
    words = command.words.replace("t.csv", str(out))
    first = ended(work, words)
    ballast.unlink()
    second = ended(work, f"{words} --resume")
    well = (first[0], second[0]) == (2, 0) and equal({"t.csv": rows_of(out)}, whole)
    print(f"full disk: {first[1]}\nresumed, the table {'equals' if well else 'DIFFERS FROM'} the undisturbed one")
    out.unlink(missing_ok=True)
    return well


def main() -> None:
    """Read the options, make the photos, kill or fill."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--full-disk", type=Path, metavar="PLACE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        make_photos(Path(place) / "photos")
        if arguments.full_disk:
            well = fill(Path(place), arguments.full_disk.resolve())
        else:
            well = kill_all(Path(place), arguments.rounds, arguments.seed)
    sys.exit(not well)


if __name__ == "__main__":
    main()
