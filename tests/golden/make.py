"""Golden results of the command line: ``python tests/golden/make.py`` writes them anew.

A working folder is filled with the sample photos and with awkward files, all made here and the same
each time; the commands run on it as they are typed, ``python -m vlm_aes.cli ...``, so that this
script does not depend on how the package is built inside. What they give becomes one JSON file a
subject beside this script. Wordings (critiques, messages, reasons) are not kept, nor is the hash of
the prompt.

By default each call has a process of its own, as a person's has. ``--fork`` is the quick way that
the test takes: one process imports the large libraries once, and splits off a child for each call.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import importlib
import importlib.util
import io
import json
import os
import re
import runpy
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import traceback
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

GOLDEN = Path(__file__).parent
NEEDED = ("accelerate", "exiv2", "peft", "pillow_heif", "sklearn")
"""Of the extras; without one of them some results are others."""
AT_ONCE = 2
"""Calls that run side by side."""
ENVIRONMENT = {
    "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1",
}  # fmt: skip
WARM = (
    "numpy", "torch", "torch.nn.functional", "transformers.modeling_utils",
    "transformers.image_processing_utils", "transformers.models.fast_vlm",
    "transformers.models.siglip.modeling_siglip", "transformers.generation.utils",
    "scipy.stats", "scipy.ndimage", "cv2", "skimage", "pandas", "pyarrow.parquet",
    "pyarrow.dataset", "sklearn.ensemble", "sklearn.model_selection", "PIL.Image", "jinja2",
    "typer", "rich.console", "rich.progress", "pydantic",
)  # fmt: skip
"""What most calls import, and what is not ours."""


# running calls


@dataclass(frozen=True)
class Call:
    """Words after ``vlm-aes``; ``cwd`` is below the working folder."""

    words: tuple[str, ...]
    stdin: str = ""
    cwd: str = "."


@dataclass(frozen=True)
class Outcome:
    """What a call gave."""

    exit: int
    stdout: str
    stderr: str


class CommandLine:
    """Runs calls in a working folder, some side by side.

    Args:
        folder: the working folder.
        fork: split each call off one warm process, where the system can.
    """

    def __init__(self, folder: Path, *, fork: bool) -> None:
        self.folder = folder
        self.environment = {**os.environ, **ENVIRONMENT}
        self.fork = fork and hasattr(os, "fork")
        self._warm: subprocess.Popen[str] | None = None

    def __enter__(self) -> CommandLine:
        if self.fork:
            self._warm = subprocess.Popen(
                [sys.executable, __file__, "--serve"], cwd=self.folder, env=self.environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
            )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._warm is not None:
            assert self._warm.stdin is not None and self._warm.stdout is not None
            self._warm.stdin.close()
            self._warm.stdout.close()
            self._warm.wait()

    def run(self, calls: Mapping[str, Call]) -> dict[str, Outcome]:
        """What each call gave, by its name; in no order among each other."""
        for call in calls.values():
            (self.folder / call.cwd).mkdir(parents=True, exist_ok=True)
        if self._warm is None:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                return dict(zip(calls, pool.map(self._alone, calls.values()), strict=True))
        assert self._warm.stdin is not None and self._warm.stdout is not None
        print(json.dumps([asdict(c) for c in calls.values()]), file=self._warm.stdin, flush=True)
        answer = self._warm.stdout.readline()
        if not answer:
            raise RuntimeError("the process that runs the calls has ended")
        found = [Outcome(**outcome) for outcome in json.loads(answer)]
        return dict(zip(calls, found, strict=True))

    def _alone(self, call: Call) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "vlm_aes.cli", *call.words], cwd=self.folder / call.cwd,
            env=self.environment, input=call.stdin.encode(errors="surrogateescape"),
            capture_output=True, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, _text(done.stdout), _text(done.stderr))


def serve() -> None:
    """Answer lines of calls on stdin with lines of outcomes on stdout, until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for name in WARM:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)
    home = Path.cwd()
    for line in sys.stdin:
        calls = [Call(**{**c, "words": tuple(c["words"])}) for c in json.loads(line)]
        with tempfile.TemporaryDirectory() as place:
            outcomes = _forked(calls, home, Path(place))
        print(json.dumps([asdict(o) for o in outcomes]), file=answers, flush=True)


def _forked(calls: Sequence[Call], home: Path, place: Path) -> list[Outcome]:
    waiting = list(enumerate(calls))[::-1]
    running: dict[int, int] = {}
    exits = [0] * len(calls)
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, call = waiting.pop()
            (place / f"{number}.in").write_bytes(call.stdin.encode(errors="surrogateescape"))
            child = os.fork()
            if child == 0:
                _child(call, home, place / str(number))
            running[child] = number
        child, status = os.wait()
        exits[running.pop(child)] = os.waitstatus_to_exitcode(status)
    streams = [
        [_text((place / f"{i}.{name}").read_bytes()) for name in ("out", "err")]
        for i in range(len(calls))
    ]
    return [Outcome(code, *texts) for code, texts in zip(exits, streams, strict=True)]


def _child(call: Call, home: Path, files: Path) -> NoReturn:
    """Be ``python -m vlm_aes.cli`` with the call's words, streams and folder."""
    code = 1
    try:
        for number, name in enumerate(("in", "out", "err")):
            flags = os.O_RDONLY if name == "in" else os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(f"{files}.{name}", flags, 0o600), number)
        socket.socket.connect = _refused  # type: ignore[method-assign, assignment]
        os.chdir(home / call.cwd)
        sys.argv[:] = ["vlm-aes", *call.words]
        sys.path[0] = str(home / call.cwd)
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8", "surrogateescape")
        runpy.run_module("vlm_aes.cli", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
        os._exit(code)


def _refused(self: socket.socket, address: object) -> NoReturn:
    raise OSError(f"no network here: {address}")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


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
    """Pictures of every odd kind, and what is none."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    for name in ("names", "nested/deep/er", "nested/.secret", "album.jpg", "burst"):
        (folder / name).mkdir(parents=True)
    numbers = iter(range(1000))

    def some() -> Any:
        return crop(photos, next(numbers))

    # too little of a picture
    Image.new("RGB", (1, 1), (200, 30, 30)).save(folder / "dot.png")
    some().resize((7, 7)).save(folder / "seven.png")
    some().resize((8, 8)).save(folder / "eight.png")
    some().resize((600, 3)).save(folder / "sliver.png")
    some().resize((1500, 12)).save(folder / "strip.png")
    some().resize((12, 900)).save(folder / "strip-upright.png")
    # modes
    some().convert("CMYK").save(folder / "cmyk.jpg", quality=90)
    some().convert("L").save(folder / "grey.jpg", quality=90)
    some().convert("1").save(folder / "bilevel.png")
    sixteen = np.asarray(some().convert("L")).astype(np.uint16) * 257
    Image.fromarray(sixteen).save(folder / "sixteen.png")
    (folder / "sixteen-colour.png").write_bytes(png(np.asarray(some()).astype(np.uint16) * 257))
    Image.fromarray(np.asarray(some().convert("L"), dtype=np.float32) / 255).save(
        folder / "float.tif"
    )
    palette = some().quantize(64)
    palette.save(folder / "palette.png")
    palette = some().quantize(64)
    palette.save(folder / "palette-clear.png", transparency=0)
    for mode, name in (("RGBA", "clear"), ("LA", "grey-clear")):
        clear = some().convert(mode)
        clear.putalpha(Image.linear_gradient("L").resize(clear.size))
        clear.save(folder / f"{name}.png")
    # formats
    some().save(folder / "moving.gif", save_all=True, append_images=[some()], duration=100)
    some().save(folder / "moving.webp", save_all=True, append_images=[some()], quality=90)
    some().save(folder / "two.mpo", save_all=True, append_images=[some()])
    some().save(folder / "plain.bmp")
    some().save(folder / "plain.tif")
    some().save(folder / "packed.tiff", compression="tiff_lzw")
    some().save(folder / "plain.webp", quality=90)
    some().save(folder / "plain.avif", quality=90, max_threads=1)
    some().save(folder / "plain.heic", quality=90)
    some().save(folder / "progressive.jpg", quality=90, progressive=True)
    some().resize((2400, 1800), Image.Resampling.BICUBIC).save(folder / "large.jpg", quality=85)
    some().resize((1600, 1200), Image.Resampling.BICUBIC).save(folder / "large.webp", quality=80)
    # orientations
    for orientation in (3, 5, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        some().save(folder / f"turned-{orientation}.jpg", exif=exif, quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    some().save(folder / "turned-6.png", exif=exif)
    some().save(folder / "exif-damaged.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=90)
    # damaged, and no pictures
    whole = io.BytesIO()
    some().save(whole, "JPEG", quality=90)
    (folder / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "cut-header.jpg").write_bytes(whole.getvalue()[:100])
    whole = io.BytesIO()
    some().save(whole, "PNG")
    (folder / "cut.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    whole = io.BytesIO()
    some().save(whole, "WEBP", quality=90)
    (folder / "cut.webp").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("dear diary\n")
    (folder / "page.jpg").write_bytes(b"%PDF-1.4\n" + b"0" * 200)
    (folder / "vector.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
    (folder / "notes.txt").write_text("not named as a picture\n")
    (folder / "huge.png").write_bytes(png_header(30_000, 30_000))
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


def png(levels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel in colour, which Pillow does not write."""
    height, width, _ = levels.shape
    lines = levels.astype(">u2").reshape(height, -1)
    body = b"".join(b"\0" + line.tobytes() for line in lines)
    return _png(width, height, 16, zlib.compress(body, 6))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""
    return _png(width, height, 8, zlib.compress(b"\0" * 5000))


def _png(width: int, height: int, depth: int, body: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def drawing() -> Image.Image:
    """Flat areas and hard edges."""
    sheet = Image.new("RGB", (320, 240), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for i in range(8):
        pen.rectangle(
            (20 + 36 * i, 200 - 20 * i, 44 + 36 * i, 220), fill=(30 * i, 90, 200 - 20 * i)
        )
    pen.line((10, 225, 310, 225), fill=(0, 0, 0), width=2)
    pen.ellipse((30, 20, 110, 100), outline=(200, 0, 0), width=3)
    return sheet


def write_inputs(folder: Path, photos: Sequence[Image.Image]) -> None:
    """Small pictures to be named in every way that a PATH allows."""
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


FAULTS = ("blur", "underexposure", "overexposure", "noise", "tilt", "compression")


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
    lines = "".join(json.dumps(vote) + "\n" for vote in votes)
    (folder / "votes.jsonl").write_text(lines)
    paths = [row[0] for row in means]
    wrong: dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]] = {
        "no-rating": (("path", "stars"), [(p, "3") for p in paths]),
        "no-path": (("file", "rating"), [(p, "3") for p in paths]),
        "constant": (("path", "rating"), [(p, "3") for p in paths]),
        "words": (("path", "rating"), [(p, "fine") for p in paths]),
        "gap": (("path", "rating"), [(p, "" if i == 4 else str(i % 5)) for i, p in
                                     enumerate(paths)]),
        "no-picture": (("path", "rating"), [("gone.png", "1"), ("lost.png", "2")]),
        "twice": (("path", "rating"), [(p, str(i % 5)) for i, p in enumerate(paths + paths)]),
        "few": (("path", "rating"), [(p, str(i)) for i, p in enumerate(paths[:2])]),
        "no-scale": (("path", "rating"), [(p, str(99 * i)) for i, p in enumerate(paths)]),
        "odd-split": (("path", "rating", "split"), [(p, str(i % 5), "odd") for i, p in
                                                    enumerate(paths)]),
        "empty": (("path", "rating"), []),
        "pairs-odd": (("path_a", "path_b", "preferred"), [(paths[0], paths[i], "c") for i in
                                                          range(1, 28)]),
        "pairs-few": (("path_a", "path_b", "preferred"), [(paths[0], paths[1], "a")]),
        "pairs-ties": (("path_a", "path_b", "preferred"), [(paths[0], paths[i], "tie") for i in
                                                           range(1, 28)]),
    }  # fmt: skip
    for name, (header, rows) in wrong.items():
        write_csv(folder / f"{name}.csv", header, rows)
    (folder / "no-json.jsonl").write_text('{"path": "astronaut.png", "rating": 1}\n{"path":\n')
    (folder / "no-table.parquet").write_text("no Parquet at all\n")
    (folder / "ratings.txt").write_text("path,rating\n")


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of text."""
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([header, *rows])


SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:odd="urn:odd:1/" {attributes}>
   <dc:subject><rdf:Bag><rdf:li>cup</rdf:li><rdf:li>aesthetics: bad</rdf:li></rdf:Bag></dc:subject>
   <lr:hierarchicalSubject><rdf:Bag><rdf:li>things|cup</rdf:li></rdf:Bag></lr:hierarchicalSubject>
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">Mine.</rdf:li></rdf:Alt></dc:description>
   <odd:note>kept</odd:note>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


def write_sidecars(folder: Path, photos: Sequence[Image.Image]) -> None:
    """Pictures without a sidecar, with those of two programs, and with a broken one."""
    folder.mkdir()
    for number, name in enumerate(("plain.png", "darktable.png", "adobe.jpg", "broken.jpg")):
        crop(photos, number, 400, 280).save(folder / name, quality=90)
    (folder / "darktable.png.xmp").write_text(SIDECAR.format(attributes='xmp:Rating="2"'))
    extension = 'xmp:Rating="0" photoshop:SidecarForExtension="JPG"'
    (folder / "adobe.xmp").write_text(SIDECAR.format(attributes=extension))
    (folder / "broken.jpg.xmp").write_text("<x:xmpmeta")


def fill(work: Path) -> None:
    """Everything in the working folder beside ``samples/``, which the command writes."""
    photos = photos_of(work / "samples")
    write_awkward(work / "awkward", photos)
    write_inputs(work / "inputs", photos)
    write_ratings(work / "ratings")
    write_sidecars(work / "sidecars", photos)
    crop(photos, 5).save(work / "one.png")
    crop(photos, 6).save(work / "two.png")
    (work / "mine.csv").write_text("name,note\nastronaut,good\n")
    (work / "no-table.parquet").write_text("no Parquet at all\n")
    (work / "there.csv").write_text("a file that must stay\n")
    (work / "empty").mkdir()


# the calls

ERROR_ROWS = ("awkward/gone.jpg", "awkward/notes.txt", "awkward/.hidden.jpg", "awkward/vector.svg",
              "awkward/nested/loop/dot.png", "samples/astronaut.png", "awkward/*.bmp")  # fmt: skip
"""Named beside the two folders: some are pictures, one is there already."""
ALL = ("samples", "awkward", *ERROR_ROWS)

COLUMNS: dict[str, tuple[str, ...]] = {
    "csv": ("one.png", "--fast", "--out", "OUT.csv"),
    "jsonl": ("one.png", "--fast", "--out", "OUT.jsonl"),
    "parquet": ("one.png", "--fast", "--out", "OUT.parquet"),
    "facts": ("one.png", "--fast", "--facts", "--out", "OUT.csv"),
    "attributes": ("one.png", "--attributes", "--out", "OUT.csv"),
    "rationale": ("one.png", "two.png", "--rationale", "--out", "OUT.csv"),
    "fast-rationale": ("one.png", "--fast", "--rationale", "--out", "OUT.jsonl"),
    "scale-1-10": ("one.png", "two.png", "--fast", "--scale", "1-10", "--out", "OUT.csv"),
    "scale-0-1": ("one.png", "two.png", "--fast", "--scale", "0-1", "--out", "OUT.jsonl"),
    "stars": ("one.png", "--fast", "--stars", "10,20,40,60,80", "--out", "OUT.csv"),
    "stars-run": ("one.png", "two.png", "--fast", "--stars-among", "run", "--stars",
                  "0,20,50,80,95", "--out", "OUT.csv"),
    "top-k": ("one.png", "two.png", "--fast", "--top-k", "1", "--out", "OUT.csv"),
    "cascade": ("one.png", "two.png", "--cascade", "--top-k", "1", "--out", "OUT.csv"),
    "everything": ("one.png", "two.png", "--facts", "--attributes", "--rationale", "--scale", "1-5",
                   "--stars", "0,20,50,80,95", "--out", "OUT.parquet"),
}  # fmt: skip
"""Options to the columns that they give."""
SHOWN = ("path", "score", "score_scaled", "stars", "score_fast", "error")
"""Of the tables above, also values."""

INPUTS: dict[str, Call] = {
    "folder": Call(("inputs",)),
    "folder-as-typed": Call(("./inputs/",)),
    "glob": Call(("inputs/*.jpg",)),
    "glob-deep": Call(("inputs/**/*.png", "inputs/s*")),
    "repeated": Call(("inputs/b.jpg", "inputs/sub", "inputs/a.jpg", "inputs/b.jpg", "inputs/sub")),
    "named": Call(("inputs/.hid.jpg", "inputs/d [1].jpg", "inputs/gone.jpg", "inputs/notes.txt")),
    "list": Call(("-",), "inputs/sub\n\ninputs/b.jpg\r\ninputs/gone.jpg\ninputs/b.jpg\n"),
    "table": Call(("inputs/list.csv",)),
    "table-column": Call(("inputs/list.csv", "--column", "other")),
    "stored": Call(("inputs/stored.parquet",)),
    "archive": Call(("inputs/shard.tar",)),
}

S, T = "../../samples/coffee.png", "../../slow.jsonl"
R, I = "../../ratings", "../../samples"  # noqa: E741
WRONG: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "help": ("--help",),
    "no-such-command": ("rate", S),
    "score-nothing": ("score",),
    "score-help": ("score", "--help"),
    "score-empty-folder": ("score", "../../empty", "--out", "x.csv"),
    "score-glob-of-nothing": ("score", "../../samples/*.jpg", "--out", "x.csv"),
    "score-missing": ("score", "gone.jpg", "--fast", "--out", "x.csv"),
    "score-missing-shown": ("score", "gone.jpg", "--fast"),
    "score-shown": ("score", S, "--fast"),
    "score-no-such-option": ("score", S, "--bogus"),
    "score-unknown-model": ("score", S, "--model", "nowhere", "--out", "x.csv"),
    "score-hub-model": ("score", S, "--model", "nobody/nothing", "--out", "x.csv"),
    "score-folder-without-model": ("score", S, "--model", "../../awkward", "--out", "x.csv"),
    "score-file-as-model": ("score", S, "--model", S, "--out", "x.csv"),
    "score-out-suffix": ("score", S, "--fast", "--out", "x.docx"),
    "score-out-exists": ("score", S, "--fast", "--out", "../../there.csv"),
    "score-resume-without-out": ("score", S, "--resume"),
    "score-resume-overwrite": ("score", S, "--out", "x.csv", "--resume", "--overwrite"),
    "score-resume-foreign": ("score", S, "--fast", "--out", "../../there.csv", "--resume"),
    "score-scale": ("score", S, "--scale", "big", "--out", "x.csv"),
    "score-scale-falling": ("score", S, "--scale", "5-1", "--out", "x.csv"),
    "score-batch-size": ("score", S, "--batch-size", "0", "--out", "x.csv"),
    "score-top-k": ("score", S, "--top-k", "0", "--out", "x.csv"),
    "score-fraction": ("score", S, "--fraction", "1.5", "--out", "x.csv"),
    "score-threshold": ("score", S, "--threshold", "nan", "--out", "x.csv"),
    "score-two-choices": ("score", S, "--top-k", "1", "--fraction", ".5", "--out", "x.csv"),
    "score-cascade-alone": ("score", S, "--cascade", "--out", "x.csv"),
    "score-per-burst": ("score", S, "--top-k", "1", "--per", "burst", "--out", "x.csv"),
    "score-per": ("score", S, "--top-k", "1", "--per", "day", "--out", "x.csv"),
    "score-html": ("score", S, "--html", "none/x.html"),
    "score-dry-run": ("score", S, "--xmp", "--dry-run", "--out", "x.csv"),
    "score-layout-alone": ("score", S, "--xmp-layout", "adobe", "--out", "x.csv"),
    "score-stars": ("score", S, "--stars", "90,10", "--out", "x.csv"),
    "score-stars-among-alone": ("score", S, "--stars-among", "run", "--out", "x.csv"),
    "score-engine": ("score", S, "--engine", "spark", "--out", "x.csv"),
    "score-ray-without-out": ("score", S, "--engine", "ray"),
    "score-workers": ("score", S, "--workers", "2", "--out", "x.csv"),
    "score-fast-attributes": ("score", S, "--fast", "--attributes", "--out", "x.csv"),
    "score-precision": ("score", S, "--precision", "int3", "--out", "x.csv"),
    "score-device": ("score", S, "--device", "abacus", "--out", "x.csv"),
    "score-no-column": ("score", "../../mine.csv", "--out", "x.csv"),
    "score-no-table": ("score", "../../no-table.parquet", "--out", "x.csv"),
    "choose-nothing": ("choose",),
    "choose-no-choice": ("choose", T),
    "choose-two-choices": ("choose", T, "--top-k", "1", "--threshold", "5"),
    "choose-missing": ("choose", "gone.csv", "--top-k", "1"),
    "choose-foreign": ("choose", "../../mine.csv", "--top-k", "1"),
    "choose-no-table": ("choose", "../../no-table.parquet", "--top-k", "1"),
    "choose-empty-folder": ("choose", "../../empty", "--top-k", "1"),
    "choose-bands": ("choose", T, "--bands", "60,40"),
    "choose-bands-and-top-k": ("choose", T, "--bands", "40,60", "--top-k", "1"),
    "choose-two-ways": ("choose", T, "--top-k", "1", "--copy", "a", "--link", "b"),
    "choose-undo-nothing": ("choose", "--undo", "../../empty"),
    "choose-per": ("choose", T, "--top-k", "1", "--per", "day"),
    "choose-none": ("choose", T, "--threshold", "101"),
    "xmp-missing": ("xmp", "gone.csv"),
    "xmp-foreign": ("xmp", "../../mine.csv"),
    "xmp-layout": ("xmp", T, "--xmp-layout", "both"),
    "xmp-stars": ("xmp", T, "--stars", "1,2,3"),
    "xmp-unrated": ("xmp", T, "--unrated", "9"),
    "xmp-dry-run": ("xmp", T, "--dry-run"),
    "gallery-no-page": ("gallery", T),
    "gallery-missing": ("gallery", "gone.csv", "--html", "x.html"),
    "gallery-foreign": ("gallery", "../../mine.csv", "--html", "x.html"),
    "gallery-no-folder": ("gallery", T, "--html", "none/x.html"),
    "gallery-fast-foreign": ("gallery", T, "--fast", "../../mine.csv", "--html", "x.html"),
    "samples-file": ("samples", "../../there.csv"),
    "explain-missing": ("explain", "gone.jpg", "--json"),
    "explain-style": ("explain", S, "--style", "sonnet"),
    "compare-one": ("compare", S),
    "compare-many": ("compare", *[S] * 21),
    "compare-unknown-model": ("compare", S, S, "--model", "nowhere"),
    "audit-nothing": ("audit",),
    "audit-empty-folder": ("audit", "--images", "../../empty"),
    "evaluate-nothing": ("evaluate",),
    "evaluate-missing": ("evaluate", "gone.csv"),
    "evaluate-text": ("evaluate", f"{R}/ratings.txt", "--images", I),
    "evaluate-no-json": ("evaluate", f"{R}/no-json.jsonl", "--images", I),
    "evaluate-no-table": ("evaluate", f"{R}/no-table.parquet", "--images", I),
    "evaluate-wrong-images": ("evaluate", f"{R}/means.csv", "--images", "../../empty"),
    "evaluate-scale": ("evaluate", f"{R}/means.csv", "--images", I, "--ratings-scale", "1-2"),
    "evaluate-split": ("evaluate", f"{R}/means.csv", "--images", I, "--split", "exam"),
    "evaluate-empty-split": ("evaluate", f"{R}/means.csv", "--images", I, "--split", "val"),
    "evaluate-transform": ("evaluate", f"{R}/means.csv", "--images", I, "--transform", "sine"),
    "evaluate-html": ("evaluate", f"{R}/means.csv", "--images", I, "--html", "none/x.html"),
    **{f"evaluate-{name}": ("evaluate", f"{R}/{name}.csv", "--images", I)
       for name in ("no-rating", "no-path", "constant", "words", "gap", "no-picture", "twice",
                    "few", "no-scale", "odd-split", "empty")},
    "finetune-no-out": ("finetune", f"{R}/means.csv", "--images", I),
    "finetune-missing": ("finetune", "gone.csv", "--out", "new"),
    "finetune-few": ("finetune", f"{R}/few.csv", "--images", I, "--out", "new"),
    "finetune-constant": ("finetune", f"{R}/constant.csv", "--images", I, "--out", "new"),
    "finetune-resume-overwrite": ("finetune", f"{R}/means.csv", "--images", I, "--out", "new",
                                  "--resume", "--overwrite"),
    "finetune-quantize": ("finetune", f"{R}/means.csv", "--images", I, "--out", "new",
                          "--quantize", "3bit"),
    "finetune-labels": ("finetune", f"{R}/means.csv", "--images", I, "--out", "new", "--labels",
                        "soft"),
    "finetune-out-exists": ("finetune", f"{R}/means.csv", "--images", I, "--out", "../../ratings"),
    **{f"finetune-{name}": ("finetune", f"{R}/{name}.csv", "--images", I, "--out", "new")
       for name in ("pairs-odd", "pairs-few", "pairs-ties")},
    "finetune-pairs-transform": ("finetune", f"{R}/pairs-few.csv", "--images", I, "--out", "new",
                                 "--transform", "log"),
    "distill-nothing": ("distill",),
    "distill-empty-folder": ("distill", "--images", "../../empty", "--out", "new"),
    "ensemble-one": ("ensemble", f"{R}/means.csv", "--images", I, "--member", "facts", "--out",
                     "new"),
    "ensemble-twice": ("ensemble", f"{R}/means.csv", "--images", I, "--member", "facts",
                       "--member", "facts", "--out", "new"),
    "route-missing": ("route", "gone.csv", "--to", "a=facts", "--to", "b=facts", "--out", "new"),
    "export-suffix": ("export", "--out", "x.pt"),
    "export-exists": ("export", "--out", "../../there.onnx"),
    "push-name": ("push", "../../empty", "nobody"),
    "push-empty-folder": ("push", "../../empty", "nobody/nothing", "--dry-run"),
}  # fmt: skip
"""Calls that end with an exit code of their own; each in an empty folder."""

COMPARED = ("samples/astronaut.png", "samples/coffee-noise.png", "samples/chelsea.png",
            "samples/rocket-tilt.png", "awkward/twin-a.jpg", "awkward/cut.jpg")  # fmt: skip

CHOICES: dict[str, tuple[str, ...]] = {
    "top-k": ("--top-k", "5"),
    "fraction": ("--fraction", ".1"),
    "threshold": ("--threshold", "45"),
    "bands": ("--bands", "20,40,55"),
    "per-folder": ("--top-k", "2", "--per", "folder"),
    "per-burst": ("--top-k", "1", "--per", "burst"),
    "distinct": ("--top-k", "12", "--distinct"),
}


def everything(work: Path, *, fork: bool = True) -> dict[str, Any]:
    """Run all calls in an empty folder and give what is kept, by the name of its file."""
    found: dict[str, Any] = {}
    outcomes: dict[str, Outcome] = {}
    with CommandLine(work, fork=fork) as command:
        outcomes |= command.run({"samples": Call(("samples", "samples"))})
        fill(work)
        (work / "there.onnx").write_text("a file that must stay\n")
        out = {f"columns {n}": Call(("score", *(w.replace("OUT", f"columns-{n}") for w in words)))
               for n, words in COLUMNS.items()}  # fmt: skip
        named = {f"inputs {n}": Call(("score", *c.words, "--fast", "--out", f"inputs-{n}.jsonl",
                                      "--stats", f"inputs-{n}.json"), c.stdin)
                 for n, c in INPUTS.items()}  # fmt: skip
        outcomes |= command.run({
            "slow": Call(("score", *ALL, "--facts", "--attributes", "--out", "slow.jsonl",
                          "--stats", "slow.json")),
            "fast": Call(("score", *ALL, "--fast", "--facts", "--out", "fast.jsonl", "--stats",
                          "fast.json")),
            "evaluate": Call(("evaluate", "ratings/means.csv", "--images", "samples", "--json")),
            "compare": Call(("compare", *COMPARED, "--json")),
            "explain": Call(("explain", "samples/coffee.png", "--json")),
            "evaluate split": Call(("evaluate", "ratings/means.csv", "--images", "samples",
                                    "--split", "test", "--fast", "--json")),
            "evaluate votes": Call(("evaluate", "ratings/votes.jsonl", "--images", "samples",
                                    "--fast", "--no-facts", "--json", "--html", "evaluate.html")),
            "sidecars": Call(("score", "sidecars", "--xmp", "--attributes", "--out",
                              "sidecars.jsonl")),
            "folder": Call(("score", "inputs", "--fast", "--out", "shards/")),
            "resume from": Call(("score", "inputs/a.jpg", "inputs/gone.jpg", "inputs/sub", "--fast",
                                 "--out", "resumed.csv")),
            **out, **named,
        })  # fmt: skip
        found["sidecars"] = {"score": sidecars(work / "sidecars")}
        outcomes |= command.run({
            "resume": Call(("score", "inputs", "--fast", "--scale", "1-5", "--out", "resumed.csv",
                            "--resume", "--stats", "resumed-other.json")),
            "resume folder": Call(("score", "inputs", "--fast", "--out", "shards/", "--resume",
                                   "--stats", "resumed.json")),
            "gallery": Call(("gallery", "slow.jsonl", "--fast", "fast.jsonl", "--html",
                             "gallery.html")),
            "xmp again": Call(("xmp", "sidecars.jsonl", "--dry-run")),
            "copy": Call(("choose", "slow.jsonl", "--top-k", "3", "--copy", "copied")),
            "link": Call(("choose", "slow.jsonl", "--bands", "30,50", "--link", "linked")),
            **{f"choose {n}": Call(("choose", "slow.jsonl", *words))
               for n, words in CHOICES.items()},
            **{f"wrong {n}": Call(words, cwd=f"wrong/{n}") for n, words in WRONG.items()},
        })  # fmt: skip
        placed = {name: below(work / name) for name in ("copied", "linked")}
        again = "xmp sidecars.jsonl --overwrite-ratings --stars 1,2,3,4,5 --unrated 1"
        outcomes |= command.run({
            "undo": Call(("choose", "--undo", "copied")),
            "xmp": Call(tuple(again.split())),
        })  # fmt: skip
        found["sidecars"]["xmp"] = sidecars(work / "sidecars")
    found["score"] = rows_of(work / "slow.jsonl", work)
    found["score-fast"] = rows_of(work / "fast.jsonl", work)
    found["columns"] = {name: columns_of(work, name) for name in COLUMNS}
    found["inputs"] = {n: kinds_of(work / f"inputs-{n}.jsonl") for n in INPUTS}
    found["stats"] = {
        name: stats_of(work / f"{name}.json")
        for name in ("slow", "fast", "resumed", "resumed-other", *(f"inputs-{n}" for n in INPUTS))
    }
    found["choose"] = {n: lines_of(outcomes[f"choose {n}"].stdout) for n in CHOICES}
    found["choose"] |= {**placed, "undone": below(work / "copied")}
    found["gallery"] = gallery_of(work / "gallery.html")
    found["evaluate"] = {
        name: tidy(json.loads(outcomes[name].stdout))
        for name in ("evaluate", "evaluate split", "evaluate votes")
    }
    found["compare"] = comparison_of(json.loads(outcomes["compare"].stdout))
    found["explain"] = explanation_of(json.loads(outcomes["explain"].stdout))
    found["calls"] = {
        name: {"exit": outcome.exit, "stdout": bool(outcome.stdout),
               "traceback": "Traceback" in outcome.stderr,
               **({"wrote": below(work / "wrong" / name.partition(" ")[2])}
                  if name.startswith("wrong ") else {})}
        for name, outcome in outcomes.items()
    }  # fmt: skip
    for name in ("there.csv", "there.onnx"):
        stays = (work / name).read_text() == "a file that must stay\n"
        found["calls"][f"file {name}"] = {"stays": stays}
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


def told_as(path: Path) -> str:
    """A path as tables have it: what is no UTF-8 becomes a question mark."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def rows_of(file: Path, work: Path) -> dict[str, dict[str, Any]]:
    """Path to its row, without the prompt; of errors the kind, and of the hash whether it is that
    of the file."""
    files = {told_as(p.relative_to(work)): p for p in work.glob("[as]*/**/*") if p.is_file()}
    found = {}
    for row in read_rows(file):
        path, digest = row.pop("path"), row.pop("sha256")
        del row["prompt"]
        of_file = files.get(path)
        if of_file is not None and hashlib.sha256(of_file.read_bytes()).hexdigest() == digest:
            digest = "of the file"
        found[path] = {"sha256": digest, **tidy(row), "error": kind_of(row["error"])}
    return found


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Rows of a table in any of the three formats; of CSV as text."""
    if file.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        return rows
    with file.open(encoding="utf-8", newline="") as lines:
        if file.suffix == ".jsonl":
            return [json.loads(line) for line in lines]
        return list(csv.DictReader(lines))


def columns_of(work: Path, name: str) -> dict[str, Any]:
    """Names of the columns in their order, with types where the format has some, and a few values
    of each row."""
    file = work / COLUMNS[name][-1].replace("OUT", f"columns-{name}")
    rows = read_rows(file)
    if file.suffix == ".parquet":
        names: Any = {f.name: str(f.type) for f in pq.read_schema(file)}
    else:
        names = list(rows[0])
    values = [{k: _number(row[k]) for k in SHOWN if k in row} for row in rows]
    return {"columns": names, "rows": tidy(values)}


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
    return tidy({name: value for name, value in stats.items() if name not in times} |
                {"times": times})  # fmt: skip


def lines_of(text: str) -> list[str]:
    """Lines of stdout."""
    return text.splitlines()


def below(folder: Path) -> list[str]:
    """Files and links below a folder, hidden ones too."""
    return sorted(told_as(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


_PREFIXES = {
    "http://ns.adobe.com/xap/1.0/": "xmp", "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/lightroom/1.0/": "lr", "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "urn:vlm-aes:xmp:1/": "vlmaes", "urn:odd:1/": "odd",
}  # fmt: skip
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def sidecars(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Sidecar to its fields and their values; the prompt and critiques are left out."""
    found = {}
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
        found[file.name] = dict(sorted(fields.items()))
    return found


def _prefixed(name: str) -> str:
    space, _, local = name[1:].partition("}")
    return f"{_PREFIXES.get(space, 'rdf' if '{' + space + '}' == _RDF else space)}:{local}"


def gallery_of(file: Path) -> dict[str, Any]:
    """What the page holds: title, bars, strips, errors, and for each picture its data; of its
    thumbnail the size and the mean colour."""
    text = file.read_text(encoding="utf-8")
    cards, thumbs = (
        json.loads(re.findall(rf'id="{name}">(.*?)</script>', text)[0])
        for name in ("cards", "thumbs")
    )
    strips = {
        heading.split("<")[0].strip().lower(): [
            cards[int(i)]["path"] for i in re.findall(r"<figure[^>]* data-i=\"(\d+)\"", body)
        ]
        for heading, body in re.findall(r"<h2>(.*?)</h2><div class=\"strip\">(.*?)</div></section>",
                                        text, re.DOTALL)
    }  # fmt: skip
    bars = [int(n) for n in re.findall(r'aria-label="Scores \d+ to \d+: (\d+) pictures"', text)]
    bands = dict(re.findall(r'data-level="(\w+)"[^>]*>\w+ <span>(\d+)</span>', text))
    errors = re.findall(r"<li>([^<]*)<br><span class=\"quiet\">(\w+):", text)
    return {
        "title": re.findall(r"<title>(.*?)</title>", text)[0],
        "bars": bars, "bands": bands, "strips": strips, "errors": [list(e) for e in errors],
        "cards": {c.pop("path"): {**tidy(c), "critique": bool(c["critique"])} for c in cards},
        "thumbs": [thumb and _colours(thumb) for thumb in thumbs],
        "fetches": re.findall(r"(?:src|href)=\"(?!#|data:)([^\"]+)", text),
    }  # fmt: skip


def _colours(uri: str) -> list[int]:
    """Width, height and mean red, green and blue of a picture in a data URI."""
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        mean = np.asarray(image.convert("RGB")).mean((0, 1))
        return [image.width, image.height, *(round(float(v)) for v in mean)]


def comparison_of(found: dict[str, Any]) -> dict[str, Any]:
    """Order and probabilities; no reasons."""
    return {
        "keys": sorted(found),
        "order": found["order"],
        "scores": tidy(found["scores"], "score"),
        "pairs": {f"{p['a']} {p['b']}": {"p_a": round(p["p_a"], 4)} for p in found["pairs"]},
        "errors": {path: kind_of(error) for path, error in found["errors"].items()},
    }


def explanation_of(found: dict[str, Any]) -> dict[str, Any]:
    """Names of all that is said of a picture, with units and bands of its facts; no critique, no
    advice."""
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
    return unpacked(found) if name.startswith("score") else found


def save(name: str, content: Any) -> None:
    """Write a golden file, one line a subject."""
    content = packed(content) if name.startswith("score") else content
    lines = [f"{json.dumps(k, ensure_ascii=False)}: {_compact(v)}" for k, v in content.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (GOLDEN / f"{name}.json").write_text(text, encoding="utf-8")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def packed(rows: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """The columns once, then path to values."""
    names = list(next(iter(rows.values())))
    return {"columns": names, **{p: [row[n] for n in names] for p, row in rows.items()}}


def unpacked(content: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Path to its row."""
    names = content.pop("columns")
    return {p: dict(zip(names, values, strict=True)) for p, values in content.items()}


def main() -> None:
    """Write every golden file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--fork", action="store_true", help="the quick way, as the test")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        serve()
        return
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(f"needs {', '.join(missing)}: make test installs them")
    package = importlib.util.find_spec("vlm_aes")
    assert package is not None
    print(f"results of {package.origin}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in everything(Path(folder), fork=words.fork).items():
            save(name, content)
    for file in sorted(GOLDEN.glob("*.json")):
        print(f"{file.stat().st_size:>8,}  {file.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
