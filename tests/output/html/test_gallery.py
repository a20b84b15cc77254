"""The gallery: everything on one page, small enough, and alive in a browser."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests import demo_server
from tests import tiny_checkpoints as tiny
from tests.cli import run
from vlm_aes.files import is_own_page
from vlm_aes.images.source import ImageSource
from vlm_aes.output.html.components import THUMBNAIL_BYTES, THUMBNAIL_SIDE_PX, thumbnail, thumbnails
from vlm_aes.output.html.gallery import MAX_SHOWN_IMAGES, STRIP_IMAGES, Gallery, gallery_page, write_gallery
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.ratings.scale import LEVELS

NAMES = ("<b>ä & Co.png", "東京 [1].png", "c.png", "d.png", "e.png", "f.png")
ERROR = "truncated: get it <anew>"


def row(path, score=None, **values):
    level = LEVELS[min(4, int(score // 20))] if score is not None else None
    return {**dict.fromkeys(Columns().names), "path": str(path), "width": 300, "height": 200, "score": score,
            "score_std": 9.0, "level": level, **{f"p_{w}": 0.2 for w in LEVELS}, "model": "m@1", "prompt": "p",
            **values}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Six pictures of two shapes, one that has gone, and one error."""
    folder = tmp_path_factory.mktemp("gallery") / "photos & more"
    folder.mkdir()
    found = []
    for i, (name, image) in enumerate(zip(NAMES, tiny.images(6))):
        image.resize((300, 200) if i % 2 else (200, 900)).save(folder / name)
        found.append(row(
            folder / name, 10.0 + 15 * i, score_fast=12.0 + 14 * i, score_low=5.0, score_high=95.0,
            percentile=50.0, stars=3, critique="Fine </script> & <i>good</i>.", attr_light=61.4,
            attr_light_residual=1.0, width=300 if i % 2 else 200, height=200 if i % 2 else 900,
        ))  # fmt: skip
    return [*found, row(folder / "gone.png", 33.0, score_fast=None), row(folder / "cut.jpg", error=ERROR)]


@pytest.fixture(scope="module")
def file(rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "gallery.html"
    write_gallery(out, lambda: rows, lambda: (ImageSource(r["path"]) for r in rows))
    assert [p.name for p in out.parent.iterdir()] == ["gallery.html"]
    return out


def test_what_is_gathered(rows):
    found = Gallery.gather(lambda: rows)
    assert found.title == "photos & more"
    assert [r["score"] for r in found.shown] == [85.0, 70.0, 55.0, 40.0, 33.0, 25.0, 10.0]
    assert found.level_counts == {"excellent": 1, "good": 1, "fair": 2, "poor": 2, "bad": 1}
    assert (found.n_errors, found.errors[0][1]) == (1, ERROR)
    # 2, 1, 0, 1, 2 and 3 points apart
    assert found.mean_distance == pytest.approx(1.5)
    assert [r.rsplit("/", 1)[1] for r in found.disagreements] == ["f.png", NAMES[0], "e.png", NAMES[1], "d.png"]
    assert sum(b["n"] for b in found.bars()) == 7
    assert max(b["height"] for b in found.bars()) == 100
    # fast scores of another table
    plain = [{k: v for k, v in r.items() if k != "score_fast"} for r in rows]
    assert Gallery.gather(lambda: plain).mean_distance is None
    path = plain[2]["path"]
    found = Gallery.gather(lambda: plain, {path: 90.0})
    assert (found.disagreements, found.mean_distance) == ([path], 50.0)


def test_of_many_the_ends_and_the_disagreements_are_shown():
    scores = np.random.default_rng(0).permutation(np.linspace(0, 100, 5000))
    rows = [row(f"p/{i}.jpg", float(s), score_fast=float(s)) for i, s in enumerate(scores)]
    rows[77]["score_fast"] = 1000.0
    found = Gallery.gather(lambda: rows)
    shown, best_first = [r["score"] for r in found.shown], sorted(scores, reverse=True)
    assert MAX_SHOWN_IMAGES <= len(shown) <= MAX_SHOWN_IMAGES + STRIP_IMAGES
    assert shown == sorted(shown, reverse=True)
    assert (shown[:300], shown[-300:]) == (best_first[:300], best_first[-300:])
    assert found.disagreements == ["p/77.jpg"] and "p/77.jpg" in {r["path"] for r in found.shown}
    assert len(found.scores) == 5000


@pytest.mark.parametrize("size", [(4000, 3000), (9000, 30), (8, 8), (360, 360)])
def test_a_thumbnail_stays_within_its_budget(size):
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    data = thumbnail(Image.fromarray(noise))
    assert len(data) <= THUMBNAIL_BYTES
    with Image.open(io.BytesIO(data)) as small:
        assert max(small.size) <= THUMBNAIL_SIDE_PX


def test_five_hundred_images_stay_under_eight_megabytes(tmp_path):
    rows = [row(f"holiday/{i:04d}-a-rather-long-name.jpg", i / 5, critique="A fine picture. " * 20,
                **{f"attr_{n}": 50.0 for n in ("color", "composition", "content", "light")})
            for i in range(500)]  # fmt: skip
    largest = "data:image/webp;base64," + "A" * (4 * -(-THUMBNAIL_BYTES // 3))
    text = gallery_page(Gallery.gather(lambda: rows), {r["path"]: largest for r in rows}, tmp_path)
    assert 7_000_000 < len(text.encode()) < 8_000_000


def test_the_page_is_safe_and_alone(file, rows):
    text = file.read_text(encoding="utf-8")
    assert "<b>ä" not in text
    assert text.count("</script>") == 3
    assert "truncated: get it &lt;anew&gt;" in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    cards = json.loads(re.search(r'id="cards">(.*?)</script>', text, re.S)[1])
    assert cards[-1]["name"] == NAMES[0]
    assert cards[0]["attributes"] == {"light": 61}
    assert re.fullmatch(r"\.\./.*photos%20%26%20more/%3Cb%3E%C3%A4%20%26%20Co\.png", cards[-1]["link"])
    assert cards[4]["link"] == ""  # it has gone


def test_nothing_but_errors_is_a_page_too_and_what_cannot_be_opened_has_no_thumbnail(rows, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    items = [*(ImageSource(r["path"]) for r in rows), ImageSource(str(tmp_path / "bad.jpg"))]
    assert [path for path, _ in thumbnails(items)] == [r["path"] for r in rows[:6]]
    write_gallery(tmp_path / "g.html", lambda: [row(name, error=ERROR) for name in ("a.jpg", "b.jpg")], list)
    text = (tmp_path / "g.html").read_text()
    assert "2 not rated" in text and "0 images rated" in text


def test_in_one_call_and_from_its_table(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, image in enumerate(tiny.images(3)):
        image.save(photos / f"{i}.png")
    one, two, out = tmp_path / "1.html", tmp_path / "2.html", tmp_path / "t.csv"
    assert run("score", photos, "--out", out, "--html", one).exit_code == 0
    assert len(list(read_rows(out, Columns().schema))) == 3
    assert run("gallery", out, "--html", two).exit_code == 0
    assert one.read_text() == two.read_text()
    listed = run("score", "-", "--html", two, "--overwrite", input=f"{photos / '1.png'}\n")
    assert listed.exit_code == 0, listed.output
    written = two.read_text()
    assert written.count("data:image/webp") == 1
    assert run("gallery", out, "--html", two).exit_code == 0  # a page of ours is made anew
    assert two.read_text() == one.read_text()
    two.write_text("mine")
    kept = run("gallery", out, "--html", two)
    assert (kept.exit_code, "--overwrite" in kept.stderr, two.read_text()) == (2, True, "mine")
    assert run("gallery", out, "--html", two, "--overwrite").exit_code == 0
    assert two.read_text() == one.read_text()
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    wrong = run("gallery", tmp_path / "x.csv", "--html", tmp_path / "3.html")
    assert (wrong.exit_code, "no table that score wrote" in wrong.stderr) == (2, True)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not demo_server.browser():
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=demo_server.browser(), args=["--no-sandbox"])


@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser(browser, file, width):
    said, asked = [], []
    view = browser.new_page(viewport={"width": width, "height": 844})
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: asked.append(request.url))
    view.goto(file.as_uri())

    def names():
        return view.locator(".wall figure:not([hidden]) figcaption span").all_inner_texts()

    def wide():
        return view.evaluate("document.documentElement.scrollWidth - innerWidth")

    assert names() == ["f.png", "e.png", "d.png", "c.png", "gone.png", NAMES[1], NAMES[0]]
    assert wide() <= 0
    view.click(".bands button:has-text('poor')")
    assert names() == ["gone.png", NAMES[1]]
    assert view.inner_text("#count") == "2 shown"
    view.click(".bands button:has-text('poor')")
    view.click('.bars button[data-low="85.0"]')
    assert names() == ["f.png"]
    view.click(".bands button:has-text('all')")
    view.select_option("#order", "apart")
    assert (names()[0], names()[-1]) == ("f.png", "gone.png")
    view.select_option("#order", "worst")
    assert names()[0] == NAMES[0]
    view.locator(".wall figure").first.scroll_into_view_if_needed()
    view.wait_for_function("document.querySelector('.wall img').naturalWidth > 0")
    view.locator(".wall figure").first.click()
    shown = [view.inner_text(f"#{part}") for part in ("critique", "score", "verdict")]
    assert shown == ["Fine </script> & <i>good</i>.", "10", "of 100, bad, ★★★"]
    for name in (NAMES[1], "gone.png"):
        view.keyboard.press("ArrowRight")
        assert view.inner_text("#name") == name
    assert view.is_hidden("#large")
    view.keyboard.press("Escape")
    assert view.is_hidden("dialog")
    assert wide() <= 0
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    view.close()


def test_a_page_of_ours_is_replaced_and_another_file_is_kept(tmp_path):
    write_gallery(tmp_path / "g.html", lambda: [row("a.jpg", error=ERROR)], list)
    (tmp_path / "notes.html").write_text("<meta charset='utf-8'>mine")
    assert is_own_page(tmp_path / "g.html")
    assert not any(map(is_own_page, (tmp_path / "notes.html", tmp_path / "none.html", tmp_path)))
