"""The page as a person uses it, in a headless Chromium, each tab through to the file it gives."""

import csv
import io
import json
import shutil
import socket
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import sync_playwright

import vlm_aes
from tests import demo_server
from vlm_aes.demo.uploads import MAX_UPLOAD_BYTES
from vlm_aes.images.degrade import DEGRADATIONS
from vlm_aes.images.samples import write_samples

FROZEN = json.loads((Path(__file__).parent.parent / "frozen_scores.json").read_text())["pil"]
TABS = ("Compare", "Sort a folder", "Teach it", "How a score is made", "Rate one")

pytestmark = [
    pytest.mark.skipif(not demo_server.browser(), reason="no Chromium is installed"),
    pytest.mark.timeout(900),
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """This machine alone may be reached."""
    connect = socket.socket.connect

    def local(self, address):
        assert not isinstance(address, tuple) or address[0] in ("127.0.0.1", "localhost", "::1")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return write_samples(tmp_path_factory.mktemp("allowed") / "samples")[0].parent


@pytest.fixture(scope="module")
def server(samples):
    page = demo_server.Page("--allow", samples)
    yield page
    page.close()
    said = "".join(page.said)
    assert "Ctrl-C ends it" in said and "network attempt" not in said and "Traceback" not in said, said


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as play:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        yield play.chromium.launch(executable_path=demo_server.browser(), args=["--no-sandbox", *camera])


@pytest.fixture
def visit(server, chromium):
    """Opens the page for a new visitor; at the end, nothing was asked for elsewhere and the console has no error."""
    opened, errors, asked = [], [], []

    def one(tab="", width=1280, **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
        opened.append(context)
        context.set_default_timeout(120_000)  # on a machine with other things to do
        context.grant_permissions(["camera"], origin=server.url)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        page.wait_for_selector("#one-drop input[type=file]", state="attached")
        if tab:
            demo_server.choose_tab(page, tab)
        return page

    yield one
    for context in opened:
        context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []


def send(page, field, *files, until):
    page.set_input_files(f"#{field} input[type=file]", [str(f) for f in files])
    page.wait_for_selector(until)


def taken(page, button):
    """What a download button gives: its name and bytes."""
    page.wait_for_selector(f"#{button}:not([disabled])")
    with page.expect_download() as download:
        page.click(f"#{button}")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def table(data):
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_rate_one_and_no_other_visitor_sees_it(visit, samples, tmp_path):
    page, other = visit(), visit("How a score is made")
    photo = shutil.copyfile(samples / "coffee.png", tmp_path / "secret-cup.png")
    send(page, "one-drop", photo, until="#one-verdict .score")
    assert page.inner_text("#one-verdict .score b") == f"{FROZEN['coffee.png']:.0f}"
    assert "nine cases of ten" in page.inner_text("#one-verdict")
    shares = [float(t.rstrip("%")) for t in page.locator("#one-words tr td.n").all_inner_texts()]
    assert len(shares) == 5 and sum(shares) == pytest.approx(100, abs=0.3)
    assert page.locator("#one-details tr").count() > 15
    page.wait_for_selector("#one-critique .critique")
    critique = page.inner_text("#one-critique p >> nth=0")
    (card_name, card), (json_name, data) = (taken(page, f"one-{kind}") for kind in ("card", "json"))
    assert (card_name, json_name) == ("secret-cup-card.png", "secret-cup.json")
    assert Image.open(io.BytesIO(card)).size[0] == 1080
    row = json.loads(data)
    assert row["score"] == pytest.approx(FROZEN["coffee.png"], abs=0.01)
    assert critique.replace("✓", "").split("(")[0].strip()[:20] == row["critique"][:20]
    assert {claim["verdict"] for claim in row["claims"]} <= {"supported", "not measurable"}
    page.wait_for_selector("#one-picture [value=heat]")
    assert page.is_visible("#one-picture img.photo")
    for label, image in (("Heat map", "heat"), ("Measured", "measured")):
        page.get_by_label(label, exact=True).check()
        assert page.is_visible(f"#one-picture img.{image}")
        assert not page.is_visible("#one-picture img.photo")
    page.get_by_role("tab", name="How a score is made").click()
    page.wait_for_selector("#how .sum tfoot")
    adds = [float(t) for t in page.locator("#how .sum tbody td:last-child").all_inner_texts()]
    assert sum(adds) == pytest.approx(row["score"], abs=0.03)
    assert "secret-cup.png" in page.inner_text("#how h2")
    assert "aesthetics" in page.inner_text("#how .question")
    other.wait_for_selector("#how h2:has-text('a sample')")
    assert "secret-cup" not in other.content()


def test_no_image_is_refused_advice_is_drawn_as_a_curtain_and_a_photo_can_be_pasted_or_taken(visit, samples, tmp_path):
    page = visit()
    nasty = tmp_path / "<img src=x onerror=alert(1)>.png"
    nasty.write_bytes(b"this is text")
    send(page, "one-drop", nasty, until="#one-verdict .refused")
    assert "not an image" in page.inner_text("#one-verdict")
    assert page.locator("#one-verdict img").count() == 0
    send(page, "one-drop", samples / "rocket-underexposure.png", until="#one-suggestions .curtain")
    assert "better" in page.inner_text("#one-suggestions .tried >> nth=0")
    page.locator("#one-suggestions input[type=range]").first.press("Home")
    curtain = page.locator("#one-suggestions .curtain").first
    assert curtain.evaluate("e => e.style.getPropertyValue('--cut')") == "0%"
    # pasted, and taken
    paste = """data => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(data)], 'pasted.png', { type: 'image/png' }));
        document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: files, bubbles: true }));
    }"""
    page.evaluate(paste, list((samples / "chelsea.png").read_bytes()))
    page.wait_for_selector("#one-picture figcaption:has-text('pasted.png')")
    assert page.inner_text("#one-verdict .score b") == f"{FROZEN['chelsea.png']:.0f}"
    page.get_by_role("button", name="Take a photo").click()
    page.wait_for_function("document.querySelector('dialog.camera video')?.videoWidth > 0")
    page.get_by_role("button", name="Take it").click()
    page.wait_for_selector("#one-picture figcaption:has-text('camera.jpg')")


def test_compare(visit, samples):
    page = visit("Compare")
    send(page, "compare-drop", samples / "coffee.png", until="#compare-note .refused")
    assert "2 to 20" in page.inner_text("#compare-note")
    names = ["coffee.png", "coffee-blur.png", "coffee-tilt.png"]
    send(page, "compare-drop", *(samples / name for name in names), until=".ranking li")
    order = page.locator(".ranking h2").all_inner_texts()
    assert order == sorted(names, key=lambda name: -FROZEN[name])
    assert page.locator(".ranking .step").count() == 2
    found = json.loads(taken(page, "compare-json")[1])
    assert found["order"] == order and len(found["pairs"]) == 3
    page.get_by_label("Burst: keep one").check()
    page.wait_for_selector(".burst")
    assert page.inner_text(".burst figure h2") == f"Keep {order[0]}"


def test_sort_uploads(visit, samples, tmp_path):
    page = visit("Sort a folder")
    broken = tmp_path / "broken.png"
    broken.write_bytes((samples / "coffee.png").read_bytes()[:5000])
    names = ["coffee.png", *(f"coffee-{fault}.png" for fault in DEGRADATIONS)]
    send(page, "sort-drop", broken, *(samples / name for name in names), until="#sort-csv:not([disabled])")
    assert "1 could not be rated" in page.inner_text("#sort-progress")
    best = sorted(names, key=lambda name: -FROZEN[name])
    assert page.locator("#sort-gallery .name").all_inner_texts() == best
    rows = table(taken(page, "sort-csv")[1])
    assert [row["path"] for row in rows] == best
    assert float(rows[0]["score"]) == pytest.approx(FROZEN[best[0]], abs=0.01)
    page.fill("#sort-top input", "2")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelectorAll('#sort-gallery li').length === 2")
    parquet, html, xmp = (taken(page, f"sort-{kind}")[1] for kind in ("parquet", "html", "xmp"))
    assert pq.read_table(io.BytesIO(parquet)).column("path").to_pylist() == best[:2]
    assert [name.encode() in html for name in best[:3]] == [True, True, False]
    assert b"data:image/webp" in html
    archive = zipfile.ZipFile(io.BytesIO(xmp))
    assert archive.namelist() == sorted(f"{name}.xmp" for name in best[:2])
    assert b"aesthetics: " in archive.read(f"{best[0]}.xmp")
    page.locator("#sort-gallery button").first.click()
    page.wait_for_selector("#sort-panel .critique")
    assert page.inner_text("#sort-panel .score b") == f"{FROZEN[best[0]]:.0f}"


def test_sort_a_folder_of_the_operator_and_stop(visit, samples):
    page = visit("Sort a folder")
    page.get_by_label("Facts, attributes and critiques").check()
    page.click("#sort-start")
    page.wait_for_selector("#sort-gallery li")
    page.click("#sort-stop")
    rows = table(taken(page, "sort-csv")[1])
    assert 0 < len(rows) <= len(FROZEN) and {row["path"] for row in rows} <= set(FROZEN)
    assert all(row["critique"] and row["attr_light"] and row["fact_exposure_stops"] for row in rows)


def test_teach_it_by_keyboard(visit, samples, tmp_path):
    page = visit("Teach it")
    page.click("#teach-ours")
    page.wait_for_selector(".lesson img")
    given = {}
    for _ in range(20):
        alt = page.get_attribute(".lesson img", "alt")
        name = page.inner_text(".lesson figcaption span >> nth=0")
        # somebody who does not mind blur and noise, and cannot stand anything else
        given[name] = 5 if "blur" in name or "noise" in name else 3 if "tilt" in name else 1
        page.keyboard.press(str(given[name]))
        page.wait_for_function("a => document.querySelector('.lesson img').alt !== a", arg=alt)
    page.wait_for_selector(".learned table")
    assert "20 ratings" in page.inner_text(".learned h2")
    own, crowd = (float(page.inner_text(f".learned tbody tr:nth-child({n}) td.n >> nth=0")) for n in (1, 2))
    assert own > crowd
    # a correction: a photo is chosen, rated anew, and it learns again
    page.locator(".learned .thumbs button").first.click()
    page.wait_for_timeout(1000)
    alt = page.get_attribute(".lesson img", "alt")
    given[page.inner_text(".lesson figcaption span >> nth=0")] = 2
    page.keyboard.press("2")
    page.wait_for_function("a => document.querySelector('.lesson img').alt !== a", arg=alt)
    page.wait_for_selector(f".learned h2:has-text('{len(given)} ratings')")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.click("#teach-save")
    rows = table(taken(page, "teach-ratings")[1])
    assert {row["path"]: int(row["rating"]) for row in rows} == given
    name, data = taken(page, "teach-checkpoint")
    assert name == "my-taste.zip"
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path / "my-taste")
    own = vlm_aes.Assessor.from_pretrained(tmp_path / "my-taste")
    scores = [a.score for a in own.assess([samples / name for name in given], facts=False)]
    assert np.corrcoef(scores, list(given.values()))[0, 1] > 0.5


def test_keys_as_fast_as_photos_come(visit):
    """Each key is pressed the moment that a photo is there: none is lost."""
    page = visit("Teach it")
    page.evaluate("""() => {
        const seen = [];
        new MutationObserver(() => {
            const alt = document.querySelector('.lesson img')?.alt;
            if (!alt || alt === seen.at(-1) || seen.length === 28) return;
            const press = new KeyboardEvent('keydown', { key: String(1 + seen.push(alt) % 5), bubbles: true });
            setTimeout(() => document.body.dispatchEvent(press));
        }).observe(document.body, { subtree: true, childList: true, attributes: true });
    }""")
    page.click("#teach-ours")
    page.wait_for_selector(".lesson:has-text('28 rated')")
    page.wait_for_selector(".learned table")


SMALL_TEXTS = """() => [...document.querySelectorAll('body *')].filter((e) => {
    const size = parseFloat(getComputedStyle(e).fontSize);
    return e.offsetParent && size > 0 && size < 12 && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
}).map((e) => e.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1440, "dark")])
def test_nothing_overflows_no_text_is_tiny_and_our_own_markup_has_no_serious_violation(visit, samples, width, scheme):
    page = visit(width=width, color_scheme=scheme)
    send(page, "one-drop", samples / "rocket-underexposure.png", until="#one-critique .critique")
    page.wait_for_selector("#one-picture [value=heat]")
    demo_server.choose_tab(page, "Compare")
    send(page, "compare-drop", samples / "coffee.png", samples / "coffee-blur.png", until=".ranking")
    demo_server.choose_tab(page, "Sort a folder")
    send(page, "sort-drop", samples / "coffee.png", samples / "rocket.png", until="#sort-csv:not([disabled])")
    demo_server.choose_tab(page, "Teach it")
    page.click("#teach-ours")
    page.wait_for_selector(".lesson img")
    for name in TABS:
        page.set_viewport_size({"width": width, "height": 900})
        demo_server.choose_tab(page, name)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate(SMALL_TEXTS) == [], name
        page.set_viewport_size({"width": 1440, "height": 900})
        page.wait_for_timeout(300)
        assert demo_server.serious(demo_server.violations(page)[0]) == {}, name


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, verbose=False)


def test_compare_and_batch_by_a_program_and_bad_files_get_a_reason(client, samples, tmp_path):
    names = ["coffee-blur.png", "coffee.png", "chelsea.png"]
    photos = [handle_file(str(samples / name)) for name in names]
    found = client.predict(photos, api_name="/compare")
    assert found["order"] == sorted(names, key=lambda name: -FROZEN[name])
    with pytest.raises(Exception, match="2 to 20"):
        client.predict(photos[:1], api_name="/compare")
    good = (samples / "coffee.png").read_bytes()
    bad = {
        "broken.png": b"\x89PNG", "empty.png": b"", "cut.png": good[: len(good) // 2], "text.jpg": b"hello" * 99,
        "page.png": b"<html><script>alert(1)</script>", "pdf.jpg": b"%PDF-1.7 ...", "zeros.png": bytes(5000),
        "gif.gif": b"GIF89a" + b"\xff" * 40,
    }  # fmt: skip
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    Image.new("RGB", (4, 4)).save(tmp_path / "tiny.png")
    sent = [*photos, *(handle_file(str(tmp_path / name)) for name in (*bad, "tiny.png"))]
    rows = client.predict(sent, api_name="/batch")
    assert [row["name"] for row in rows] == [*names, *bad, "tiny.png"]
    assert [row["score"] for row in rows[:3]] == pytest.approx([FROZEN[name] for name in names], abs=0.01)
    assert all(row["score"] is None and ": " in row["error"] for row in rows[3:])


def test_rate_and_critique_by_a_program(client, samples):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/rate", "/critique", "/compare", "/batch"}
    photo = handle_file(str(samples / "coffee.png"))
    row = client.predict(photo, api_name="/rate")
    assert (row["name"], row["score"]) == ("coffee.png", pytest.approx(FROZEN["coffee.png"], abs=0.01))
    assert set(row["attributes"]) >= {"light", "composition"}
    said = client.predict(photo, api_name="/critique")
    assert said["critique"] and {c["verdict"] for c in said["claims"]} <= {"supported", "not measurable"}


def test_no_other_file_of_the_machine_can_be_had(server, samples):
    files = ["/etc/passwd", "/proc/self/environ", vlm_aes.__file__, str(samples / "coffee.png")]
    for path in [*files, "http://192.0.2.1/x.png", "https://192.0.2.1/x.png"]:
        answer = httpx.get(f"{server.url}/gradio_api/file={path}", timeout=60)
        assert answer.status_code in (403, 404), path
        given = {"path": path, "meta": {"_type": "gradio.FileData"}}
        call = f"{server.url}/gradio_api/call/rate"
        event = httpx.post(call, json={"data": [given]}, timeout=60).json()["event_id"]
        said = httpx.get(f"{call}/{event}", timeout=60).text
        assert "event: error" in said and "score" not in said, path


def test_uploads_with_paths_in_their_names_stay_below_and_one_that_is_too_large_is_refused(server, samples):
    data = (samples / "coffee-blur.png").read_bytes()
    for name in ("../../../../tmp/escaped.png", "..\\..\\x.png", "/etc/cron.d/x.png", "a\0b.png"):
        answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": (name, data, "image/png")})
        assert answer.status_code == 200
        assert "vlm-aes-demo-" in answer.json()[0] and ".." not in Path(answer.json()[0]).parts
    assert not Path("/tmp/escaped.png").exists()
    huge = b"\xff\xd8" + bytes(MAX_UPLOAD_BYTES + 2**20)
    answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": ("huge.jpg", huge)}, timeout=120)
    assert answer.status_code == 413
