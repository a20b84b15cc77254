"""The page as a person uses it, in a headless Chromium, each tab through to the file it gives."""

import csv
import io
import json
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
SLOW = 120_000
"""Milliseconds that anything may take on a machine with other things to do."""
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
    folder = tmp_path_factory.mktemp("allowed") / "samples"
    write_samples(folder)
    return folder


@pytest.fixture(scope="module")
def server(samples):
    page = demo_server.Page("--allow", samples)
    yield page
    page.close()
    assert not any("network attempt" in line for line in page.said)
    assert not any("Traceback" in line for line in page.said), "".join(page.said)


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=demo_server.browser(),
            args=["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(server, chromium):
    """Opens the page for a new visitor; at the end, nothing was asked for elsewhere and the console
    has no error."""
    opened, trouble = [], []

    def listen(page):
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
        page.on(
            "request", lambda r: None if r.url.startswith((server.url, "data:", "blob:")) else trouble.append(r.url)
        )

    def one(tab="", width=1280, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        context.set_default_timeout(SLOW)
        context.grant_permissions(["camera"], origin=server.url)
        page = context.new_page()
        listen(page)
        page.goto(server.url)
        page.wait_for_selector("#one-drop input[type=file]", state="attached")
        opened.append(context)
        if tab:
            demo_server.choose_tab(page, tab)
        return page

    yield one
    for context in opened:
        context.close()
    assert trouble == []


def send(page, field, *files):
    page.set_input_files(f"#{field} input[type=file]", [str(f) for f in files])


def taken(page, button):
    """What a download button gives: its name and bytes."""
    page.wait_for_selector(f"#{button}:not([disabled])")
    with page.expect_download() as download:
        page.click(f"#{button}")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_it_comes_up_without_a_network(server):
    assert httpx.get(server.url).status_code == 200
    assert any("Ctrl-C ends it" in line for line in server.said)


def test_rate_one(visit, samples):
    page = visit()
    send(page, "one-drop", samples / "coffee.png")
    page.wait_for_selector("#one-verdict .score")
    assert page.inner_text("#one-verdict .score b") == f"{FROZEN['coffee.png']:.0f}"
    assert "nine cases of ten" in page.inner_text("#one-verdict")
    words = page.locator("#one-words tr")
    shares = [float(t.rstrip("%")) for t in words.locator("td.n").all_inner_texts()]
    assert len(shares) == 5
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert page.locator("#one-details tr").count() > 15
    page.wait_for_selector("#one-critique .critique")
    critique = page.inner_text("#one-critique p >> nth=0")

    name, data = taken(page, "one-card")
    assert name == "coffee-card.png"
    assert Image.open(io.BytesIO(data)).size[0] == 1080
    name, data = taken(page, "one-json")
    row = json.loads(data)
    assert name == "coffee.json"
    assert row["score"] == pytest.approx(FROZEN["coffee.png"], abs=0.01)
    assert critique.replace("✓", "").split("(")[0].strip()[:20] == row["critique"][:20]
    assert {claim["verdict"] for claim in row["claims"]} <= {"supported", "not measurable"}

    page.wait_for_selector("#one-picture [value=heat]")
    assert page.locator("#one-picture img.photo").is_visible()
    page.get_by_label("Heat map", exact=True).check()
    assert page.locator("#one-picture img.heat").is_visible()
    assert not page.locator("#one-picture img.photo").is_visible()
    page.get_by_label("Measured", exact=True).check()
    assert page.locator("#one-picture img.measured").is_visible()

    page.get_by_role("tab", name="How a score is made").click()
    page.wait_for_selector("#how .sum tfoot")
    adds = [float(t) for t in page.locator("#how .sum tbody td:last-child").all_inner_texts()]
    assert sum(adds) == pytest.approx(row["score"], abs=0.03)
    assert "coffee.png" in page.inner_text("#how h2")
    assert "aesthetics" in page.inner_text("#how .question")


def test_advice_is_drawn_as_a_curtain(visit, samples):
    page = visit()
    send(page, "one-drop", samples / "rocket-underexposure.png")
    page.wait_for_selector("#one-suggestions .curtain")
    assert "better" in page.inner_text("#one-suggestions .tried >> nth=0")
    slider = page.locator("#one-suggestions input[type=range]").first
    slider.focus()
    page.keyboard.press("Home")
    curtain = page.locator("#one-suggestions .curtain").first
    assert curtain.evaluate("e => e.style.getPropertyValue('--cut')") == "0%"


def test_a_photo_can_be_pasted_or_taken(visit, samples):
    page = visit()
    data = list((samples / "chelsea.png").read_bytes())
    page.evaluate(
        """data => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(data)], 'pasted.png', { type: 'image/png' }));
          const paste = new ClipboardEvent('paste', { clipboardData: files, bubbles: true });
          document.dispatchEvent(paste);
        }""",
        data,
    )
    page.wait_for_selector("#one-picture figcaption:has-text('pasted.png')")
    assert page.inner_text("#one-verdict .score b") == f"{FROZEN['chelsea.png']:.0f}"
    page.get_by_role("button", name="Take a photo").click()
    page.wait_for_function("document.querySelector('dialog.camera video')?.videoWidth > 0")
    page.get_by_role("button", name="Take it").click()
    page.wait_for_selector("#one-picture figcaption:has-text('camera.jpg')")


def test_compare(visit, samples):
    page = visit("Compare")
    send(page, "compare-drop", samples / "coffee.png")
    page.wait_for_selector("#compare-note .refused")
    assert "2 to 20" in page.inner_text("#compare-note")
    names = ["coffee.png", "coffee-blur.png", "coffee-tilt.png"]
    send(page, "compare-drop", *(samples / name for name in names))
    page.wait_for_selector(".ranking li")
    order = page.locator(".ranking h2").all_inner_texts()
    assert order == sorted(names, key=lambda name: -FROZEN[name])
    assert page.locator(".ranking .step").count() == 2
    _, data = taken(page, "compare-json")
    found = json.loads(data)
    assert found["order"] == order
    assert len(found["pairs"]) == 3
    page.get_by_label("Burst: keep one").check()
    page.wait_for_selector(".burst")
    assert page.inner_text(".burst figure h2") == f"Keep {order[0]}"


def test_sort_uploads(visit, samples, tmp_path):
    page = visit("Sort a folder")
    broken = tmp_path / "broken.png"
    broken.write_bytes((samples / "coffee.png").read_bytes()[:5000])
    names = ["coffee.png", *(f"coffee-{fault}.png" for fault in DEGRADATIONS)]
    send(page, "sort-drop", broken, *(samples / name for name in names))
    page.wait_for_selector("#sort-csv:not([disabled])")
    assert "1 could not be rated" in page.inner_text("#sort-progress")
    best = sorted(names, key=lambda name: -FROZEN[name])
    assert page.locator("#sort-gallery .name").all_inner_texts() == best
    _, data = taken(page, "sort-csv")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [row["path"] for row in rows] == best
    assert float(rows[0]["score"]) == pytest.approx(FROZEN[best[0]], abs=0.01)

    page.fill("#sort-top input", "2")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelectorAll('#sort-gallery li').length === 2")
    _, data = taken(page, "sort-parquet")
    assert pq.read_table(io.BytesIO(data)).column("path").to_pylist() == best[:2]
    _, data = taken(page, "sort-html")
    assert all(name.encode() in data for name in best[:2])
    assert best[2].encode() not in data
    _, data = taken(page, "sort-xmp")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert sorted(archive.namelist()) == sorted(f"{name}.xmp" for name in best[:2])

    page.locator("#sort-gallery button").first.click()
    page.wait_for_selector("#sort-panel .critique")
    assert page.inner_text("#sort-panel .score b") == f"{FROZEN[best[0]]:.0f}"


def test_sort_a_folder_of_the_operator_and_stop(visit, samples):
    page = visit("Sort a folder")
    page.get_by_label("Facts, attributes and critiques").check()
    page.click("#sort-start")
    page.wait_for_selector("#sort-gallery li")
    page.click("#sort-stop")
    page.wait_for_selector("#sort-csv:not([disabled])")
    _, data = taken(page, "sort-csv")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert 0 < len(rows) <= len(FROZEN)
    assert all(row["critique"] and row["attr_light"] and row["fact_exposure_stops"] for row in rows)
    assert all(row["path"] in FROZEN for row in rows)


def test_teach_it_by_keyboard(visit, tmp_path):
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
    changed = page.inner_text(".lesson figcaption span >> nth=0")
    given[changed] = 2
    page.keyboard.press("2")
    page.wait_for_function("a => document.querySelector('.lesson img').alt !== a", arg=alt)
    page.wait_for_function(
        "n => document.querySelector('.learned h2').innerText.includes(`${n} ratings`)", arg=len(given)
    )
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")

    page.click("#teach-save")
    _, data = taken(page, "teach-ratings")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert {row["path"]: int(row["rating"]) for row in rows} == given
    name, data = taken(page, "teach-checkpoint")
    assert name == "my-taste.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path / "my-taste")
    own = vlm_aes.Assessor.from_pretrained(tmp_path / "my-taste")
    photos = {p.name: p for p in write_samples(tmp_path / "samples")}
    rated = list(given)
    scores = [a.score for a in own.assess([photos[n] for n in rated], facts=False)]
    assert np.corrcoef(scores, [given[n] for n in rated])[0, 1] > 0.5


def test_keys_as_fast_as_photos_come(visit):
    """Each key is pressed the moment that a photo is there: none is lost."""
    page = visit("Teach it")
    page.evaluate("""() => {
        let seen = 0;
        let last;
        new MutationObserver(() => {
            const alt = document.querySelector('.lesson img')?.alt;
            if (!alt || alt === last || seen === 28) return;
            last = alt;
            seen += 1;
            const key = String(1 + seen % 5);
            const press = new KeyboardEvent('keydown', { key, bubbles: true });
            setTimeout(() => document.body.dispatchEvent(press));
        }).observe(document.body, { subtree: true, childList: true, attributes: true });
    }""")
    page.click("#teach-ours")
    page.wait_for_selector(".lesson:has-text('28 rated')")
    page.wait_for_selector(".learned table")


def test_visitors_do_not_see_each_other(visit, samples):
    one, other = visit(), visit("How a score is made")
    send(one, "one-drop", samples / "rocket.png")
    one.wait_for_selector("#one-verdict .score")
    other.wait_for_selector("#how h2")
    assert "a sample" in other.inner_text("#how h2")
    assert "rocket" not in other.content().replace("rocket.jpg", "").replace("Rocket", "")
    one.get_by_role("tab", name="How a score is made").click()
    one.wait_for_selector("#how h2:has-text('rocket.png')")


def test_a_file_that_is_no_image_is_refused_in_words(visit, tmp_path):
    page = visit()
    nasty = tmp_path / "<img src=x onerror=alert(1)>.png"
    nasty.write_bytes(b"this is text")
    send(page, "one-drop", nasty)
    page.wait_for_selector("#one-verdict .refused")
    assert "not an image" in page.inner_text("#one-verdict")
    assert page.locator("#one-verdict img").count() == 0


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_overflows_and_no_text_is_tiny(visit, samples, width):
    page = visit(width=width)
    send(page, "one-drop", samples / "coffee.png")
    page.wait_for_selector("#one-critique .critique")
    for name in TABS:
        demo_server.choose_tab(page, name)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        small = page.evaluate(
            """() => [...document.querySelectorAll('body *')].filter((e) => {
              const size = parseFloat(getComputedStyle(e).fontSize);
              return e.offsetParent && size > 0 && size < 12
                && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            }).map((e) => e.outerHTML.slice(0, 90))"""
        )
        assert small == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_our_own_markup_has_no_serious_violation(visit, samples, scheme):
    page = visit(color_scheme=scheme)
    send(page, "one-drop", samples / "rocket-underexposure.png")
    page.wait_for_selector("#one-picture [value=heat]")
    demo_server.choose_tab(page, "Compare")
    send(page, "compare-drop", samples / "coffee.png", samples / "coffee-blur.png")
    page.wait_for_selector(".ranking")
    demo_server.choose_tab(page, "Sort a folder")
    send(page, "sort-drop", samples / "coffee.png", samples / "rocket.png")
    page.wait_for_selector("#sort-csv:not([disabled])")
    demo_server.choose_tab(page, "Teach it")
    page.click("#teach-ours")
    page.wait_for_selector(".lesson img")
    for name in TABS:
        demo_server.choose_tab(page, name)
        page.wait_for_timeout(700)
        assert demo_server.serious(demo_server.violations(page)[0]) == {}, name


# the endpoints


@pytest.fixture
def client(server):
    return Client(server.url, verbose=False)


def test_rate_and_critique_by_a_program(client, samples):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/rate", "/critique", "/compare", "/batch"}
    photo = handle_file(str(samples / "coffee.png"))
    row = client.predict(photo, api_name="/rate")
    assert row["score"] == pytest.approx(FROZEN["coffee.png"], abs=0.01)
    assert row["name"] == "coffee.png"
    assert set(row["attributes"]) >= {"light", "composition"}
    said = client.predict(photo, api_name="/critique")
    assert said["critique"]
    assert {c["verdict"] for c in said["claims"]} <= {"supported", "not measurable"}


def test_compare_and_batch_by_a_program(client, samples, tmp_path):
    names = ["coffee-blur.png", "coffee.png", "chelsea.png"]
    photos = [handle_file(str(samples / name)) for name in names]
    found = client.predict(photos, api_name="/compare")
    assert found["order"] == sorted(names, key=lambda name: -FROZEN[name])
    with pytest.raises(Exception, match="2 to 20"):
        client.predict(photos[:1], api_name="/compare")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    rows = client.predict([*photos, handle_file(str(broken))], api_name="/batch")
    assert [row["name"] for row in rows] == [*names, "broken.png"]
    assert rows[1]["score"] == pytest.approx(FROZEN["coffee.png"], abs=0.01)
    assert rows[3]["score"] is None
    assert rows[3]["error"]


# hostile visitors


def asked_by_hand(server, path):
    """What ``/rate`` answers to a path that was never sent to it."""
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = f"{server.url}/gradio_api/call/rate"
    event = httpx.post(call, json={"data": [given]}, timeout=60).json()["event_id"]
    return httpx.get(f"{call}/{event}", timeout=60).text


def test_no_other_file_of_the_machine_can_be_had(server, samples):
    files = ["/etc/passwd", "/proc/self/environ", vlm_aes.__file__, str(samples / "coffee.png")]
    for path in [*files, "http://192.0.2.1/x.png", "https://192.0.2.1/x.png"]:
        answer = httpx.get(f"{server.url}/gradio_api/file={path}", timeout=60)
        assert answer.status_code in (403, 404), path
        said = asked_by_hand(server, path)
        assert "event: error" in said, path
        assert "score" not in said


def test_names_with_paths_in_them_stay_names(server, samples):
    data = (samples / "coffee-blur.png").read_bytes()
    for name in ("../../../../tmp/escaped.png", "..\\..\\x.png", "/etc/cron.d/x.png", "a\0b.png"):
        answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": (name, data, "image/png")})
        assert answer.status_code == 200
        path = Path(answer.json()[0])
        assert "vlm-aes-demo-" in str(path)
        assert ".." not in path.parts
    assert not Path("/tmp/escaped.png").exists()


def test_an_upload_that_is_too_large_is_refused(server):
    data = b"\xff\xd8" + bytes(MAX_UPLOAD_BYTES + 2**20)
    answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": ("huge.jpg", data)}, timeout=120)
    assert answer.status_code == 413


def test_bad_files_get_a_reason_and_the_server_goes_on(client, samples, tmp_path):
    good = (samples / "coffee.png").read_bytes()
    bad = {
        "empty.png": b"",
        "cut.png": good[: len(good) // 2],
        "text.jpg": b"hello" * 99,
        "page.png": b"<html><script>alert(1)</script>",
        "pdf.jpg": b"%PDF-1.7 ...",
        "zeros.png": bytes(5000),
        "gif.gif": b"GIF89a" + b"\xff" * 40,
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    Image.new("RGB", (4, 4)).save(tmp_path / "tiny.png")
    rows = client.predict([handle_file(str(file)) for file in tmp_path.iterdir()], api_name="/batch")
    assert all(row["score"] is None and ": " in row["error"] for row in rows)
    row = client.predict(handle_file(str(samples / "coffee.png")), api_name="/rate")
    assert row["score"] == pytest.approx(FROZEN["coffee.png"], abs=0.01)
