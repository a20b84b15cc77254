"""The page under load: how soon the first score is there, and what twenty visitors do to it.

    python benchmarks/demo.py first                      # 20 uploads, one after another
    python benchmarks/demo.py visitors --seconds 120     # 20 visitors at once; --waves 3 for more
    python benchmarks/demo.py hostile --uploads 1000     # bad files, path tricks, wrong types

Each starts a page of its own in another process, with the embedded model and no network. Visitors
come in one headless Chromium; hostile uploads by HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import re
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from vlm_aes.images.samples import SAMPLE_PHOTOS, write_samples

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from demo_server import Page, browser

LIMIT = 120_000


def pictures(folder: Path, n: int) -> list[Path]:
    """``n`` crops of the sample photos, no two alike, as JPEGs of two megapixels."""
    originals = [p for p in write_samples(folder / "samples") if p.stem in {Path(name).stem for name in SAMPLE_PHOTOS}]
    chance, made = random.Random(0), []
    for i in range(n):
        with Image.open(originals[i % len(originals)]) as file:
            left, top = (chance.uniform(0, 0.2) * side for side in file.size)
            box = (left, top, left + 0.8 * file.width, top + 0.8 * file.height)
            file.resize((1600, 1200), box=box).save(folder / f"visitor-{i:04d}.jpg", quality=92)
        made.append(folder / f"visitor-{i:04d}.jpg")
    return made


def described(name: str, seconds: list[float]) -> str:
    """Median and the slowest of twenty."""
    slow = np.quantile(seconds, 0.95)
    return f"{name}: median {np.median(seconds):.2f} s, 95% under {slow:.2f} s, n {len(seconds)}"


async def first(page: Page, files: list[Path]) -> None:
    """Seconds from an upload to the score and to the first words of the critique."""
    from playwright.async_api import async_playwright

    scores, words = [], []
    async with async_playwright() as play:
        chromium = await play.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        for i, file in enumerate(files):
            visitor = await chromium.new_page()
            visitor.set_default_timeout(LIMIT)
            await visitor.goto(page.url)
            await visitor.wait_for_selector("#one-drop input[type=file]", state="attached")
            began = time.monotonic()
            await visitor.set_input_files("#one-drop input[type=file]", file)
            await visitor.wait_for_selector("#one-verdict .score")
            scored = time.monotonic() - began
            await visitor.wait_for_selector("#one-critique .critique")
            if i:  # the first one warms the model up
                scores.append(scored)
                words.append(time.monotonic() - began)
            await visitor.wait_for_selector("#one-picture [value=heat]")
            await visitor.close()
    print(f"page up after {page.seconds:.1f} s")
    print(described("score", scores))
    print(described("critique", words))


async def visitors(page: Page, files: list[Path], seconds: float, waves: int) -> None:
    """Twenty people upload one picture after another; each must see its own name and score."""
    from playwright.async_api import async_playwright

    mine = [files[i::20] for i in range(20)]
    known: dict[str, str] = {}
    times: list[float] = []
    trouble: list[str] = []
    before, highest = page.memory, page.memory

    async def one(chromium, own: list[Path], until: float) -> None:
        context = await chromium.new_context()
        visitor = await context.new_page()
        visitor.set_default_timeout(LIMIT)
        visitor.on("pageerror", lambda error: trouble.append(str(error)))
        visitor.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
        await visitor.goto(page.url)
        await visitor.wait_for_selector("#one-drop input[type=file]", state="attached")
        turn = 0
        while time.monotonic() < until:
            file = own[turn % len(own)]
            turn += 1
            began = time.monotonic()
            await visitor.set_input_files("#one-drop input[type=file]", file)
            await visitor.wait_for_selector(f"#one-picture figcaption:has-text('{file.name}')")
            times.append(time.monotonic() - began)
            shown = await visitor.inner_text("#one-verdict .score b")
            if known.setdefault(file.name, shown) != shown:
                trouble.append(f"{file.name}: {shown}, was {known[file.name]}")
            text = await visitor.content()
            foreign = [f.name for f in files if f not in own and f.name in text]
            trouble.extend(f"{file.name} beside {name}" for name in foreign)
            await visitor.wait_for_timeout(1000)
        await context.close()

    after = []
    async with async_playwright() as play:
        for _ in range(waves):
            chromium = await play.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
            until = time.monotonic() + seconds
            everyone = asyncio.gather(*(one(chromium, own, until) for own in mine))
            while not everyone.done():
                highest = max(highest, page.memory)
                await asyncio.sleep(1)
            await everyone
            await chromium.close()
            await asyncio.sleep(75)  # the page tidies up every minute
            after.append(page.memory)
    print(described("score, 20 visitors", times))
    print(f"errors and leaks: {len(trouble)} {trouble[:5]}")
    left = ", ".join(f"{memory / 2**20:.0f}" for memory in after)
    print(f"memory: {before / 2**20:.0f} MB before, {highest / 2**20:.0f} at most, {left} a minute after each wave")


def asked(web: httpx.Client, path: str) -> str:
    """The kind of error that ``/rate`` gives for a file that was sent."""
    given = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    event = web.post("/call/rate", json=given).json()["event_id"]
    said = web.get(f"/call/rate/{event}").text
    kind = re.search(r'"error": ?"([a-z_]+):', said)
    return kind.group(1) if kind else " ".join(said.split())[:80]


def hostile(page: Page, uploads: int) -> None:
    """Bad uploads by hand: each must be refused in words, and the server stay quick."""
    chance = random.Random(0)
    good = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 120, 40)).save(good, "PNG")
    bodies = [
        b"",
        b"text",
        bytes(10_000),
        good.getvalue()[:40],
        b"%PDF-1.7",
        b"<svg onload=alert(1)>",
        b"GIF89a" + b"\xff" * 50,
        b"\xff\xd8\xff" + chance.randbytes(2000),
        chance.randbytes(5000),
    ]
    names = [
        "a.png",
        "../../etc/passwd.png",
        "..\\x.jpg",
        "a" * 240 + ".png",
        "a\u202egnp.exe.png",
        "<script>.png",
        "CON.png",
        ".png",
        "照片.heic",
        "x.svg",
        "%2e%2e%2fx.png",
        "x.png/../y.png",
    ]
    from gradio_client import Client, handle_file

    client = Client(page.url, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "good.png"
        file.write_bytes(good.getvalue())
        began = time.monotonic()
        client.predict(handle_file(str(file)), api_name="/rate")
        before = time.monotonic() - began
        reasons: dict[str, int] = {}
        with httpx.Client(base_url=f"{page.url}/gradio_api", timeout=60) as web:
            for _ in range(uploads):
                answer = web.post("/upload", files={"files": (chance.choice(names), chance.choice(bodies))})
                if answer.status_code != 200:
                    said = f"HTTP {answer.status_code}"
                else:
                    said = asked(web, answer.json()[0])
                reasons[said] = reasons.get(said, 0) + 1
        began = time.monotonic()
        row = client.predict(handle_file(str(file)), api_name="/rate")
        after = time.monotonic() - began
    for reason, count in sorted(reasons.items(), key=lambda r: -r[1]):
        print(f"  {count:>5}  {reason}")
    assert row["score"] is not None
    print(f"a good picture: {before:.2f} s before, {after:.2f} s after; memory {page.memory / 2**20:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["first", "visitors", "hostile"])
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--waves", type=int, default=1, help="of twenty new visitors each")
    asked = parser.parse_args()
    page = Page()
    try:
        with tempfile.TemporaryDirectory() as folder:
            if asked.what == "first":
                asyncio.run(first(page, pictures(Path(folder), asked.uploads + 1)))
            elif asked.what == "visitors":
                asyncio.run(visitors(page, pictures(Path(folder), 100), asked.seconds, asked.waves))
            else:
                hostile(page, asked.uploads)
    finally:
        page.close()


if __name__ == "__main__":
    main()
