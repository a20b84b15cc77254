"""Write docs/demo/*.webp, screenshots of each tab, and print what axe-core finds there:
``python -m docs.demo.screenshots``."""

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests import demo_server
from vlm_aes.images.samples import write_samples

OUT = Path(__file__).parent
SIZES = {390: 844, 1440: 900}
TALLEST = 2400
"""Pixels of a page that are shown."""
LIMIT = 180_000
FOUND = {"ours": {}, "Gradio's": {}}
"""Violations of what is accessible, with an example of each."""


def shot(page, name, width, scheme):
    """One tab as it stands."""
    page.wait_for_timeout(900)
    for whose, found in zip(FOUND, demo_server.violations(page), strict=True):
        for key, html in found.items():
            FOUND[whose].setdefault(key, html)
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, TALLEST)))
    image.save(OUT / f"{name}-{width}-{scheme}.webp", quality=80, method=6)


def walk(page, samples, width, scheme):
    """Every tab, with something in it."""
    page.wait_for_selector("#one-drop input[type=file]", state="attached")
    shot(page, "start", width, scheme)
    page.set_input_files("#one-drop input[type=file]", samples / "rocket-underexposure.png")
    page.wait_for_selector("#one-suggestions .curtain")
    shot(page, "rate", width, scheme)
    demo_server.choose_tab(page, "Compare")
    names = ("coffee", "coffee-tilt", "coffee-underexposure", "coffee-blur")
    page.set_input_files("#compare-drop input[type=file]", [samples / f"{name}.png" for name in names])
    page.wait_for_selector(".ranking")
    shot(page, "compare", width, scheme)
    demo_server.choose_tab(page, "Sort a folder")
    page.set_input_files("#sort-drop input[type=file]", sorted(samples.iterdir()))
    page.wait_for_selector("#sort-csv:not([disabled])")
    shot(page, "sort", width, scheme)
    demo_server.choose_tab(page, "Teach it")
    page.click("#teach-ours")
    page.wait_for_selector(".lesson img")
    for _ in range(20):
        alt = page.get_attribute(".lesson img", "alt")
        # somebody who forgives a bad exposure, and no noise
        degraded = "noise" in alt or "blur" in alt
        page.keyboard.press("1" if degraded else "3" if "expos" in alt else "5")
        page.wait_for_function("a => document.querySelector('.lesson img').alt !== a", arg=alt)
    page.wait_for_selector(".learned table")
    shot(page, "teach", width, scheme)
    demo_server.choose_tab(page, "How a score is made")
    page.wait_for_selector("#how .sum")
    shot(page, "how", width, scheme)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    server = demo_server.Page()
    try:
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
            write_samples(Path(folder))
            browser = play.chromium.launch(executable_path=demo_server.browser(), args=["--no-sandbox"])
            for width, height in SIZES.items():
                for scheme in ("light", "dark"):
                    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                    page.set_default_timeout(LIMIT)
                    page.goto(server.url)
                    walk(page, Path(folder), width, scheme)
                    page.close()
            browser.close()
    finally:
        server.close()
    for whose, found in FOUND.items():
        for (rule, impact), html in sorted(found.items()):
            print(f"{whose}: {rule} ({impact}): {html}")
    total = sum(file.stat().st_size for file in OUT.glob("*.webp"))
    print(f"{len(list(OUT.glob('*.webp')))} images, {total / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
