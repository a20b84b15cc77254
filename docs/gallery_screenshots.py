"""Take the screenshots of the gallery for docs/: ``python -m docs.gallery_screenshots [FOLDER]``.

The images are crops of the sample photos and degraded copies of those, made into FOLDER.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from typer.testing import CliRunner

from vlm_aes.cli import app
from vlm_aes.images.degrade import DEGRADATIONS, degrade
from vlm_aes.images.samples import SAMPLE_PHOTOS

DOCS = Path(__file__).resolve().parent
CROPS, COPIES = 8, 3
SCREENS = {"gallery": (1440, 1000, 1), "gallery-phone": (390, 844, 2)}
"""Name to width and height in CSS pixels, and pixels to one of them."""
SAVED = ("gallery", "gallery-wall", "gallery-phone-wall", "gallery-phone-picture")


def write_variations(folder: Path) -> None:
    """Crops of each sample photo, plain and degraded by chance, and one file that is no image."""
    chance = np.random.default_rng(7)
    for name in SAMPLE_PHOTOS:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as file:
            photo = file.convert("RGB")
        for number in range(CROPS):
            share = chance.uniform(0.55, 1, 2) if number else np.ones(2)
            size = (np.array(photo.size) * share).astype(int)
            left, top = (chance.uniform(0, 1, 2) * (np.array(photo.size) - size)).astype(int)
            crop = photo.crop((left, top, left + size[0], top + size[1]))
            crop.save(folder / f"{Path(name).stem}-{number}.png")
            for copy in range(COPIES):
                kind = DEGRADATIONS[chance.integers(len(DEGRADATIONS))]
                degraded = degrade(crop, kind, chance.uniform(0, 0.6), copy)
                degraded.save(folder / f"{Path(name).stem}-{number}-{kind}.png")
    (folder / "notes.jpg").write_text("no image")


def take(page: Path, folder: Path) -> None:
    """Screenshots of a page on each screen: its beginning, the wall, and one opened image."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, height, scale) in SCREENS.items():
            view = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
            view.goto(page.as_uri())
            view.wait_for_timeout(500)
            _save(view, folder / f"{name}.jpg")
            view.evaluate("document.querySelector('[aria-label=\"All images\"]').scrollIntoView()")
            view.wait_for_timeout(500)
            _save(view, folder / f"{name}-wall.jpg")
            view.locator(".wall figure").first.click()
            view.wait_for_timeout(300)
            _save(view, folder / f"{name}-picture.jpg")
        browser.close()


def _save(view: object, file: Path) -> None:
    if file.stem in SAVED:
        view.screenshot(path=file, type="jpeg", quality=80)


def main() -> None:
    """Make everything anew."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        (folder / "sample photos").mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        write_variations(Path("sample photos"))
        run = CliRunner().invoke
        words = ["score", "sample photos", "--overwrite", "--out"]
        run(app, [*words, "slow.csv", "--rationale", "--attributes"])
        run(app, [*words, "fast.csv", "--fast"])
        result = run(app, ["gallery", "slow.csv", "--fast-table", "fast.csv", "--html", "gallery.html"])
        assert result.exit_code == 0, result.output
        take(folder / "gallery.html", DOCS)


if __name__ == "__main__":
    main()
