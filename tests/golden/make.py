"""Golden results of the command line: ``python -m tests.golden.make`` writes them anew.

A working folder is filled with the sample photos and with awkward files, all made here and the same
each time. The commands run on it through ``vlm_aes.cli.main``, so that this script does not depend
on how the package is built inside. What they give becomes one JSON file a subject beside this
script. Wordings (critiques, messages, reasons) are not kept, nor is the hash of the prompt.
"""

import base64
import contextlib
import csv
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import struct
import sys
import tarfile
import tempfile
import tomllib
import traceback
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from tests import read_files

GOLDEN = Path(__file__).resolve().parent
FILES = ("score", "score-fast", "columns", "inputs", "stats", "calls", "choose",
         "gallery", "sidecars", "evaluate", "compare", "explain")  # fmt: skip
"""Golden files, by name without suffix."""
NEEDED = ("accelerate", "exiv2", "peft", "pillow_heif", "sklearn")
"""Of the extras; without one of them some results are others."""
ENVIRONMENT = {
    "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1",
}  # fmt: skip

# running calls


class Outcome(NamedTuple):
    """What a call gave."""

    exit: int
    stdout: str
    stderr: str


def called(folder: Path, words: Sequence[str], stdin: str = "") -> Outcome:
    """Be ``vlm-aes`` with these words and this input in a folder, in this process."""
    from vlm_aes.cli import main

    folder.mkdir(parents=True, exist_ok=True)
    said = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8", "surrogateescape")
    raw = [io.BytesIO(), io.BytesIO()]
    out, err = (io.TextIOWrapper(stream, "utf-8", "replace", write_through=True) for stream in raw)
    exit_code = 0
    with (
        contextlib.chdir(folder),
        mock.patch.multiple(sys, argv=["vlm-aes", *words], stdin=said, stdout=out, stderr=err),
        mock.patch.dict(os.environ, ENVIRONMENT),
    ):
        try:
            main()
        except SystemExit as error:
            exit_code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except Exception:
            exit_code = 1
            traceback.print_exc()
    return Outcome(exit_code, *(stream.getvalue().decode("utf-8", "replace") for stream in raw))


# the working folder


def photos_of(samples: Path) -> list[Image.Image]:
    """The sample photos without their degraded copies."""
    names = ("chelsea", "coffee", "rocket", "astronaut")
    return [Image.open(samples / f"{name}.png").convert("RGB") for name in names]


def crop(photos: Sequence[Image.Image], number: int, width: int = 320, height: int = 240) -> Any:
    """A crop of its own for each number, so that no two files get the same score."""
    photo = photos[number % len(photos)]
    left = number * 37 % max(1, photo.width - width)
    top = number * 23 % max(1, photo.height - height)
    return photo.crop((left, top, left + width, top + height))


def write_awkward(folder: Path, photos: Sequence[Image.Image]) -> None:
    """Images of every odd kind, and what is none."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    for name in ("names", "nested/deep/er", "nested/.secret", "album.jpg", "burst"):
        (folder / name).mkdir(parents=True)
    numbers = iter(range(1000))

    def some() -> Any:
        return crop(photos, next(numbers))

    # too small
    Image.new("RGB", (1, 1), (200, 30, 30)).save(folder / "dot.png")
    sizes = {"seven": (7, 7), "eight": (8, 8), "sliver": (600, 3), "strip": (1500, 12), "strip-upright": (12, 900)}
    for name, size in sizes.items():
        some().resize(size).save(folder / f"{name}.png")
    # modes
    for name, mode in {"cmyk.jpg": "CMYK", "grey.jpg": "L", "bilevel.png": "1"}.items():
        some().convert(mode).save(folder / name, quality=90)
    Image.fromarray(np.asarray(some().convert("L")).astype(np.uint16) * 257).save(folder / "sixteen.png")
    lines = (np.asarray(some()).astype(np.uint16) * 257).astype(">u2")
    (folder / "sixteen-colour.png").write_bytes(png(320, 240, 16, b"".join(b"\0" + line.tobytes() for line in lines)))
    Image.fromarray(np.asarray(some().convert("L"), dtype=np.float32) / 255).save(folder / "float.tif")
    some().quantize(64).save(folder / "palette.png")
    some().quantize(64).save(folder / "palette-clear.png", transparency=0)
    for mode, name in (("RGBA", "clear"), ("LA", "grey-clear")):
        clear = some().convert(mode)
        clear.putalpha(Image.linear_gradient("L").resize(clear.size))
        clear.save(folder / f"{name}.png")
    # formats
    for name, options in {"moving.gif": {"duration": 100}, "moving.webp": {"quality": 90}, "two.mpo": {}}.items():
        some().save(folder / name, save_all=True, append_images=[some()], **options)
    formats = {
        "plain.bmp": {}, "plain.tif": {}, "packed.tiff": {"compression": "tiff_lzw"}, "plain.webp": {"quality": 90},
        "plain.avif": {"quality": 90, "max_threads": 1}, "plain.heic": {"quality": 90},
        "progressive.jpg": {"quality": 90, "progressive": True},
    }  # fmt: skip
    for name, options in formats.items():
        some().save(folder / name, **options)
    some().resize((2400, 1800), Image.Resampling.BICUBIC).save(folder / "large.jpg", quality=85)
    some().resize((1600, 1200), Image.Resampling.BICUBIC).save(folder / "large.webp", quality=80)
    # orientations
    for name, orientation in (*((f"turned-{n}.jpg", n) for n in (3, 5, 6, 8)), ("turned-6.png", 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        some().save(folder / name, exif=exif, quality=90)
    some().save(folder / "exif-damaged.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=90)
    # damaged, and no images
    for kind, name in (("JPEG", "cut.jpg"), ("PNG", "cut.png"), ("WEBP", "cut.webp")):
        whole = io.BytesIO()
        some().save(whole, kind, quality=90)
        (folder / name).write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        if kind == "JPEG":
            (folder / "cut-header.jpg").write_bytes(whole.getvalue()[:100])
    foreign = {
        "empty.jpg": b"", "text.jpg": b"dear diary\n", "page.jpg": b"%PDF-1.4\n" + b"0" * 200,
        "vector.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>\n', "notes.txt": b"not named as a picture\n",
        "huge.png": png(30_000, 30_000, 8, b"\0" * 5000),
    }  # fmt: skip
    for name, content in foreign.items():
        (folder / name).write_bytes(content)
    some().save(folder / "png-inside.jpg", "PNG")
    some().save(folder / "jpeg-inside.png", "JPEG", quality=90)
    # not what the model was made for
    Image.new("RGB", (320, 240), (250, 250, 250)).save(folder / "blank.png")
    Image.new("RGB", (320, 240), (3, 3, 3)).save(folder / "black.png")
    drawing().save(folder / "drawing.png")
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    # names and places
    names = ("two words [1].jpg", "Zürich 東京.jpg", "UPPER.JPG", 'comma, "quote".jpg',
             "percent %20 #.jpg", "-dash.jpg", os.fsdecode(b"caf\xe9.jpg"))  # fmt: skip
    for name in names:
        some().save(folder / "names" / name, "JPEG", quality=90)
    for name in (".hidden.jpg", "nested/deep/er/photo.jpg", "nested/.secret/photo.jpg",
                 "album.jpg/inside.jpg", "twin-a.jpg"):  # fmt: skip
        some().save(folder / name, quality=90)
    shutil.copyfile(folder / "twin-a.jpg", folder / "nested/twin-b.jpg")
    (folder / "link.jpg").symlink_to("plain.webp")
    (folder / "link-nowhere.jpg").symlink_to("gone-too.jpg")
    (folder / "nested/loop").symlink_to("..")
    # the same moment three times, and another one
    for second, (left, top) in enumerate(((0, 0), (3, 1), (6, 3), (150, 60))):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2024:05:06 07:08:{second + 30 * (second == 3):02d}"
        frame = photos[1].crop((left, top, left + 400, top + 300))
        frame.save(folder / f"burst/frame-{second}.jpg", quality=90, exif=exif)


def png(width: int, height: int, depth: int, lines: bytes) -> bytes:
    """A PNG in colour: of 16 bits a channel, as Pillow writes none, or with fewer lines than it says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def drawing() -> Image.Image:
    """Flat areas and hard edges."""
    sheet = Image.new("RGB", (320, 240), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for i in range(8):
        pen.rectangle((20 + 36 * i, 200 - 20 * i, 44 + 36 * i, 220), fill=(30 * i, 90, 200 - 20 * i))
    pen.line((10, 225, 310, 225), fill=(0, 0, 0), width=2)
    pen.ellipse((30, 20, 110, 100), outline=(200, 0, 0), width=3)
    return sheet


def write_inputs(folder: Path, photos: Sequence[Image.Image]) -> None:
    """Small images to be named in every way that a PATH allows."""
    for name in ("sub/.deep", "more"):
        (folder / name).mkdir(parents=True)
    names = ("b.jpg", "a.jpg", "C.JPG", ".hid.jpg", "d [1].jpg", "sub/z.png", "sub/.deep/q.jpg",
             "sub/y.jpg", "more/x.webp")  # fmt: skip
    for number, name in enumerate(names):
        crop(photos, 3 * number, 96, 64).save(folder / name, quality=90)
    (folder / "notes.txt").write_text("not named as a picture\n")
    rows = [("inputs/b.jpg", "inputs/a.jpg"), ("inputs/gone.jpg", "inputs/sub/z.png")]
    write_csv(folder / "list.csv", ("path", "other"), rows)
    stored = [(folder / name).read_bytes() for name in ("a.jpg", "b.jpg")]
    pq.write_table(pa.table({"image": stored, "title": ["one", "two"]}), folder / "stored.parquet")
    with tarfile.open(folder / "shard.tar", "w") as archive:
        for name in ("b.jpg", "sub/z.png", "notes.txt"):
            archive.add(folder / name, name)


def write_ratings(folder: Path) -> None:
    """Ratings of the sample photos that somebody could have given, and tables that are wrong."""
    folder.mkdir()
    taken = {"": 0.0, "blur": 2.1, "underexposure": 1.4, "overexposure": 1.7, "noise": 2.4,
             "tilt": 0.7, "compression": 1.9}  # fmt: skip
    means, votes = [], []
    for i, photo in enumerate(("astronaut", "chelsea", "coffee", "rocket")):
        for j, (fault, less) in enumerate(taken.items()):
            path = f"{photo}-{fault}.png" if fault else f"{photo}.png"
            mean = 4.4 - less + 0.13 * ((3 * i + 5 * j) % 7 - 3)
            split = "test" if (i + j) % 3 == 0 else "train"
            means.append((path, f"{mean:.2f}", f"{0.5 + 0.1 * ((i + j) % 4):.1f}", split))
            for k in range(5):
                vote = min(5, max(1, round(mean + 0.5 * ((7 * k + 3 * i + j) % 5 - 2))))
                votes.append({"path": path, "rater": f"r{k}", "rating": vote})
    write_csv(folder / "means.csv", ("path", "rating", "std", "split"), means)
    (folder / "votes.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    paths = [row[0] for row in means]
    rated, pairs = ("path", "rating"), ("path_a", "path_b", "preferred")
    wrong = {
        "no-rating": (("path", "stars"), [(p, "3") for p in paths]),
        "no-path": (("file", "rating"), [(p, "3") for p in paths]),
        "constant": (rated, [(p, "3") for p in paths]),
        "words": (rated, [(p, "fine") for p in paths]),
        "gap": (rated, [(p, "" if i == 4 else str(i % 5)) for i, p in enumerate(paths)]),
        "no-picture": (rated, [("gone.png", "1"), ("lost.png", "2")]),
        "twice": (rated, [(p, str(i % 5)) for i, p in enumerate(paths + paths)]),
        "few": (rated, [(p, str(i)) for i, p in enumerate(paths[:2])]),
        "no-scale": (rated, [(p, str(99 * i)) for i, p in enumerate(paths)]),
        "odd-split": ((*rated, "split"), [(p, str(i % 5), "odd") for i, p in enumerate(paths)]),
        "empty": (rated, []),
        "pairs-odd": (pairs, [(paths[0], p, "c") for p in paths[1:28]]),
        "pairs-few": (pairs, [(paths[0], paths[1], "a")]),
        "pairs-ties": (pairs, [(paths[0], p, "tie") for p in paths[1:28]]),
    }
    for name, (names, rows) in wrong.items():
        write_csv(folder / f"{name}.csv", names, rows)
    (folder / "no-json.jsonl").write_text('{"path": "astronaut.png", "rating": 1}\n{"path":\n')
    (folder / "no-table.parquet").write_text("no Parquet at all\n")
    (folder / "ratings.txt").write_text("path,rating\n")


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of text."""
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([header, *rows])


def write_sidecars(folder: Path, photos: Sequence[Image.Image]) -> None:
    """Images without a sidecar, with those of two programs, and with a broken one."""
    folder.mkdir()
    for number, name in enumerate(("plain.png", "darktable.png", "adobe.jpg", "broken.jpg")):
        crop(photos, number, 400, 280).save(folder / name, quality=90)
    sidecar = (GOLDEN / "sidecar.xmp").read_text()
    (folder / "darktable.png.xmp").write_text(sidecar.replace("ATTRIBUTES", 'xmp:Rating="2"'))
    extension = 'xmp:Rating="0" photoshop:SidecarForExtension="JPG"'
    (folder / "adobe.xmp").write_text(sidecar.replace("ATTRIBUTES", extension))
    (folder / "broken.jpg.xmp").write_text("<x:xmpmeta")


STAYS = ("there.csv", "there.onnx")


def fill(work: Path) -> None:
    """Everything in the working folder beside ``samples/``, which the command writes."""
    photos = photos_of(work / "samples")
    write_awkward(work / "awkward", photos)
    read_files.write(work / read_files.FOLDER)
    write_inputs(work / "inputs", photos)
    write_ratings(work / "ratings")
    write_sidecars(work / "sidecars", photos)
    crop(photos, 5).save(work / "one.png")
    crop(photos, 6).save(work / "two.png")
    (work / "mine.csv").write_text("name,note\nastronaut,good\n")
    (work / "no-table.parquet").write_text("no Parquet at all\n")
    for name in STAYS:
        (work / name).write_text("a file that must stay\n")
    (work / "foreign.csv").write_text("a file that score did not write\n")
    (work / "empty").mkdir()


# the calls

CALLS: dict[str, dict[str, list[str]]] = tomllib.loads((GOLDEN / "calls.toml").read_text(encoding="utf-8"))
COLUMNS, INPUTS, CHOICES, WRONG = (CALLS[name] for name in ("columns", "inputs", "choices", "wrong"))
SHOWN = ("path", "score", "score_scaled", "stars", "score_fast", "error")
"""Of the tables with columns, also values."""
SOME = (
    "samples/", "awkward/album.jpg", "awkward/burst", "awkward/nested/", "awkward/twin-a.jpg",
    "awkward/names/Z", "awkward/names/co", "awkward/names/p", "awkward/names/t",
    "awkward/blank.png", "awkward/cut", "awkward/gone.jpg",
)  # fmt: skip
"""Rows of the two large tables that choices and the gallery are made from: the scores of each table
lie .02 apart at least, so that their order is sure."""


def everything(work: Path) -> dict[str, Any]:
    """Run all calls in an empty folder and give what is kept, by the name of its file."""
    outcomes = {"samples": called(work, ("samples", "samples"))}
    fill(work)
    columns = {f"columns {n}": ["score", *words] for n, words in COLUMNS.items()}
    inputs = {
        f"inputs {n}": ["score", *words, "--fast", "--out", f"inputs-{n}.jsonl", "--stats", f"inputs-{n}.json"]
        for n, words in INPUTS.items()
    }
    for name, words in (CALLS["first"] | columns | inputs).items():
        outcomes[name] = called(work, words, str(CALLS["stdin"].get(name, "")))
    found: dict[str, Any] = {"sidecars": {"score": sidecars(work / "sidecars")}}
    for table, some in (("slow", "some"), ("fast", "some-fast")):
        if (work / f"{table}.jsonl").is_file():
            lines = (work / f"{table}.jsonl").read_text("utf-8", "surrogateescape").splitlines(True)
            lines = [line for line in lines if json.loads(line)["path"].startswith(SOME)]
            (work / f"{some}.jsonl").write_text("".join(lines), "utf-8", "surrogateescape")
    choices = {f"choose {n}": ["choose", "some.jsonl", *words] for n, words in CHOICES.items()}
    outcomes |= {name: called(work, words) for name, words in (CALLS["then"] | choices).items()}
    outcomes |= {f"wrong {n}": called(work / "wrong" / n, words) for n, words in WRONG.items()}
    placed = {name: below(work / name) for name in ("copied", "linked")}
    outcomes |= {name: called(work, words) for name, words in CALLS["last"].items()}
    found["sidecars"]["xmp"] = sidecars(work / "sidecars")

    def kept(name: str, give: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return give(*arguments)
        except (OSError, ValueError, LookupError) as error:
            said = outcomes[name].stderr.strip().splitlines() or [repr(error)]
            return {"failed": f"{name}: exit {outcomes[name].exit}, {said[-1][:300]}"}

    def said(name: str, give: Callable[[Any], Any]) -> Any:
        return kept(name, lambda: give(json.loads(outcomes[name].stdout)))

    found["score"] = kept("slow", rows_of, work / "slow.jsonl", work)
    found["score-fast"] = kept("fast", rows_of, work / "fast.jsonl", work)
    found["columns"] = {n: kept(f"columns {n}", columns_of, work / words[-1]) for n, words in COLUMNS.items()}
    found["inputs"] = {n: kept(f"inputs {n}", kinds_of, work / f"inputs-{n}.jsonl") for n in INPUTS}
    counted = {"slow": "slow", "fast": "fast", "resume folder": "resumed", "resume": "resumed-csv"}
    counted |= {f"inputs {n}": f"inputs-{n}" for n in INPUTS}
    found["stats"] = {name: kept(call, stats_of, work / f"{name}.json") for call, name in counted.items()}
    found["choose"] = {n: outcomes[f"choose {n}"].stdout.splitlines() for n in CHOICES}
    found["choose"] |= {**placed, "undone": below(work / "copied")}
    found["gallery"] = kept("gallery", gallery_of, work / "gallery.html")
    found["evaluate"] = {name: said(name, tidy) for name in ("evaluate", "evaluate split", "evaluate votes")}
    found["compare"] = said("compare", comparison_of)
    found["explain"] = said("explain", explanation_of)
    found["calls"] = {
        name: {"exit": outcome.exit, "stdout": bool(outcome.stdout), "traceback": "Traceback" in outcome.stderr}
        for name, outcome in outcomes.items()
    }
    for name in WRONG:
        found["calls"][f"wrong {name}"] |= written(work / "wrong" / name, outcomes[f"wrong {name}"])
    for name in STAYS:
        found["calls"][f"file {name}"] = {"stays": (work / name).read_text() == "a file that must stay\n"}
    return found


# what is kept of results

_POINTS = ("score", "percentile", "attr_", "low", "high", "fast", "interval_width", "rmse", "mae")


def tidy(value: Any, name: str = "") -> Any:
    """Numbers with the digits that matter: of points three decimals, of all else five digits."""
    if isinstance(value, dict):
        return {key: tidy(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [tidy(each, name) for each in value]
    if not isinstance(value, float):
        return value
    if name.startswith("p_"):
        return round(value, 5)
    return round(value, 3) if name.startswith(_POINTS) else float(f"{value:.5g}")


def kind_of(error: str | None) -> str | None:
    """The kind of an error, without what to do."""
    return error and error.partition(":")[0]


def told_as(path: str | Path) -> str:
    """A path as golden files have it: a byte that is no UTF-8 is escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def rows_of(file: Path, work: Path) -> dict[str, dict[str, Any]]:
    """Path to its row, without the prompt; of errors the kind, and of the hash whether it is that of the file."""
    found = {}
    for row in read_rows(file):
        path, digest, _ = (row.pop(name) for name in ("path", "sha256", "prompt"))
        file = work / path
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            digest = "of the file"
        found[told_as(path)] = {"sha256": digest, **tidy(row), "error": kind_of(row["error"])}
    return found


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Rows of a table in any of the three formats; of CSV as text."""
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        return [json.loads(line) for line in lines] if file.suffix == ".jsonl" else list(csv.DictReader(lines))


def columns_of(file: Path) -> dict[str, Any]:
    """Names of the columns in their order, with types where the format has some, and a few values of each row."""
    rows = read_rows(file)
    types = {f.name: str(f.type) for f in pq.read_schema(file)} if file.suffix == ".parquet" else list(rows[0])
    return {"columns": types, "rows": tidy([{k: _number(row[k]) for k in SHOWN if k in row} for row in rows])}


def _number(value: Any) -> Any:
    """A cell of a CSV file: its number, nothing for an empty one."""
    try:
        return float(value) if isinstance(value, str) and value else value or None
    except ValueError:
        return value


def kinds_of(file: Path) -> list[list[str | None]]:
    """Path and kind of error of each row, in order."""
    return [[row["path"], kind_of(row["error"])] for row in read_rows(file)]


def stats_of(file: Path) -> dict[str, Any]:
    """Counts of a run and how its scores lie; no times."""
    stats = json.loads(file.read_text())
    times = [name for name in stats if "second" in name]
    return tidy({name: value for name, value in stats.items() if name not in times} | {"times": times})


def written(folder: Path, outcome: Outcome) -> dict[str, Any]:
    """What a call left in its folder, and the kinds of errors in it and on stdout."""
    found: dict[str, Any] = {"wrote": below(folder)}
    if (table := folder / "x.csv").exists():
        found["errors"] = [kind for _, kind in kinds_of(table)]
    elif outcome.stdout.startswith("{"):
        found["errors"] = [kind_of(json.loads(outcome.stdout)["error"])]
    return found


def below(folder: Path) -> list[str]:
    """Files and links below a folder, hidden ones too."""
    return sorted(told_as(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_PREFIXES = {
    "http://ns.adobe.com/xap/1.0/": "xmp", "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/lightroom/1.0/": "lr", "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "urn:vlm-aes:xmp:1/": "vlmaes", "urn:odd:1/": "odd", _RDF[1:-1]: "rdf",
}  # fmt: skip


def sidecars(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """Sidecar to its fields and their values; the prompt and critiques are left out."""
    found: dict[str, dict[str, list[Any]]] = {}
    for file in sorted(folder.glob("*.xmp")):
        text = file.read_text(encoding="utf-8")
        try:
            root = ElementTree.fromstring(text[max(0, text.find("<x:xmpmeta")) :].split("<?")[0])
        except ElementTree.ParseError:
            found[file.name] = {"": [text]}
            continue
        fields: dict[str, list[str]] = {}
        for about in root.iter(f"{_RDF}Description"):
            for name, value in about.attrib.items():
                fields.setdefault(_prefixed(name), []).append(value)
            for child in about:
                items = [item.text or "" for item in child.iter(f"{_RDF}li")]
                fields.setdefault(_prefixed(child.tag), []).extend(items or [child.text or ""])
        for name in ("rdf:about", "vlmaes:prompt", "vlmaes:critique", "vlmaes:description"):
            fields.pop(name, None)
        found[file.name] = {
            name: list(map(float, values)) if name.endswith((":score", ":percentile")) else values
            for name, values in sorted(fields.items())
        }
    return found


def _prefixed(name: str) -> str:
    space, _, local = name[1:].partition("}")
    return f"{_PREFIXES.get(space, space)}:{local}"


def gallery_of(file: Path) -> dict[str, Any]:
    """What the page holds: title, bars, strips, errors, and for each image its data and about its thumbnail."""
    text = file.read_text(encoding="utf-8")
    cards, thumbs = (json.loads(re.findall(rf'id="{name}">(.*?)</script>', text)[0]) for name in ("cards", "thumbs"))
    strips = [
        [cards[int(i)]["path"] for i in re.findall(r"<figure[^>]* data-i=\"(\d+)\"", strip)]
        for strip in re.findall(r"<div class=\"strip\">(.*?)</div></section>", text, re.DOTALL)
    ]
    bars = [int(n) for n in re.findall(r'aria-label="Scores \d+ to \d+: (\d+) (?:pictures|images)"', text)]
    bands = dict(re.findall(r'data-level="(\w+)"[^>]*>\w+ <span>(\d+)</span>', text))
    errors = re.findall(r"<li>([^<]*)<br><span class=\"quiet\">(\w+):", text)
    return {
        "title": re.findall(r"<title>(.*?):", text)[0],
        "bars": bars, "bands": bands, "strips": strips, "errors": [list(e) for e in errors],
        "cards": {c.pop("path"): {**tidy(c), "critique": bool(c["critique"])} for c in cards},
        "thumbs": [thumb and _colours(thumb) for thumb in thumbs],
        "fetches": re.findall(r"(?:src|href)=\"(?!#|data:)([^\"]+)", text),
    }  # fmt: skip


def _colours(uri: str) -> list[int]:
    """Width, height and mean red, green and blue of an image in a data URI."""
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        mean = np.asarray(image.convert("RGB")).mean((0, 1))
        return [image.width, image.height, *(round(float(v)) for v in mean)]


def comparison_of(found: dict[str, Any]) -> dict[str, Any]:
    """Order and probabilities; no reasons."""
    return {
        "keys": sorted(found),
        "order": found["order"],
        "scores": {path: tidy(score, "score") for path, score in found["scores"].items()},
        "pairs": {f"{p['a']} {p['b']}": {"p_a": round(p["p_a"], 4)} for p in found["pairs"]},
        "errors": {path: kind_of(error) for path, error in found["errors"].items()},
    }


def explanation_of(found: dict[str, Any]) -> dict[str, Any]:
    """Names of all that is said of an image, with units and bands of its facts; no critique, no advice."""
    return {
        "keys": sorted(found),
        "score": tidy(found["score"], "score"),
        "facts": {k: [f["unit"], f["band"]] for k, f in found["facts"].items()},
        "attributes": sorted(found["attributes"]),
    }


# files


def load(name: str) -> Any:
    """What a golden file holds."""
    found = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    if name.startswith("score"):
        columns = found.pop("columns")
        return {path: dict(zip(columns, values, strict=True)) for path, values in found.items()}
    return found


def save(name: str, content: Any) -> None:
    """Write a golden file, one line a subject; of tables the columns once, then path to values."""
    if name.startswith("score"):
        columns = list(next(iter(content.values())))
        content = {"columns": columns, **{path: [row[n] for n in columns] for path, row in content.items()}}
    compact = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    lines = [f"{compact(k)}: {compact(v)}" for k, v in content.items()]
    (GOLDEN / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Write every golden file."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"needs {', '.join(missing)}: make test installs them")
    with tempfile.TemporaryDirectory() as folder:
        found = everything(Path(folder))
    failed = re.findall(r'"failed": ("[^"]*)', json.dumps(found))
    if failed:
        sys.exit("nothing is written: " + "; ".join(failed))
    for name in FILES:
        save(name, found[name])


if __name__ == "__main__":
    main()
