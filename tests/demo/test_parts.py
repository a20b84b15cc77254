"""The rooms of the demo, without a server."""

import asyncio
import csv
import io
import os
import threading
import time
import zipfile

import gradio as gr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.photos import PHOTOS
from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.demo import components
from vlm_aes.demo.downloads import DownloadFolder, file_stem, zipped
from vlm_aes.demo.image_session import OpenSessions, add_critique, add_occlusion_map, open_session
from vlm_aes.demo.server import FIRST_PORT, _listen
from vlm_aes.demo.shared_model import PriorityLock, SharedAssessor
from vlm_aes.demo.sorted_images import ALL, BEST, ERRORS, NAME, UNSURE, WORST, SortedImages, unique_names
from vlm_aes.demo.teaching import TeachingSession, teaching_photos
from vlm_aes.demo.uploads import MAX_NAME_CHARS, folder_choices, image_paths_below, refusal, shown_name, upload_field
from vlm_aes.errors import OutputError
from vlm_aes.images.open import ImageError
from vlm_aes.measure import measure
from vlm_aes.output.card import CARD_WIDTH_PX, card
from vlm_aes.output.table import Columns
from vlm_aes.ratings.scale import LEVELS


def assessment(score=60.0, **other):
    p = dict(zip(LEVELS, (0.0, 0.05, 0.5, 0.4, 0.05), strict=True))
    values = {"score": score, "score_std": 15.0, "level": "fair", "probabilities": p, "model": "m@1"}
    return Assessment(**values | other)


def test_the_quick_go_before_the_slow_that_wait():
    turns, order, waiting = PriorityLock(), [], []

    def use(name, quick):
        waiting.append(name)
        with turns.turn(quick=quick):
            order.append(name)

    with turns.turn(quick=False):
        asking = [("slow", False)] * 3 + [("quick", True)]
        threads = [threading.Thread(target=use, args=args) for args in asking]
        for thread in threads:
            thread.start()
        while len(waiting) < 4:
            time.sleep(0.01)
        time.sleep(0.05)
        assert order == []
    for thread in threads:
        thread.join(5)
    assert order == ["quick", "slow", "slow", "slow"]


def test_a_turn_may_be_entered_again_by_its_holder_and_ends_with_an_error():
    turns = PriorityLock()
    with pytest.raises(ValueError, match="x"), turns.turn(quick=True), turns.turn(quick=False):
        raise ValueError("x")
    with turns.turn(quick=False):
        pass


@given(st.text(max_size=300))
def test_a_name_is_shown_on_one_line_and_its_stem_is_a_file_name_everywhere(text):
    name, stem = shown_name(text), file_stem(text)
    assert 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and not set(name) & set("/\\")
    assert stem not in ("", ".", "..") and not set(stem) & set('<>:"/\\|?*\n ')


def test_equal_names_get_a_number():
    names = unique_names(["a/x.jpg", "b/x.jpg", "c/x.jpg"], ["x.jpg"] * 3)
    assert names == {"x.jpg": "a/x.jpg", "x (2).jpg": "b/x.jpg", "x (3).jpg": "c/x.jpg"}


def test_a_refusal_says_what_is_wrong_and_what_to_do_and_is_escaped():
    text = refusal(ImageError("truncated", "the file ends too soon; copy it again"))
    assert text == "The file is cut short. Please send it again. The file ends too soon; copy it again."
    html = components.render("refused", "<img src=x onerror=alert(1)>", "<b>")
    assert "<img" not in html and "<b>" not in html


def test_claims_are_marked_where_they_stand():
    facts = measure(Image.new("RGB", (320, 200), (8, 8, 8)))
    html = components.critique(assessment(critique="The picture is very dark. There is a story.", facts=facts))
    assert html.count('<mark class="yes"') == html.count("<mark") == 1
    assert "Of 2 claims: ✓ 1 agrees with what was measured; 1 cannot be measured" in html


def test_only_what_lies_in_an_allowed_folder_is_found(tmp_path):
    allowed, secret = tmp_path / "open", tmp_path / "secret"
    for folder in (allowed / "inner", allowed / ".hidden", secret):
        folder.mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(folder / "x.png")
    (allowed / "out").symlink_to(secret)
    (allowed / "link.png").symlink_to(secret / "x.png")
    places = folder_choices([allowed])
    assert list(places) == ["open", "open/inner"]
    for most in (10, 1):
        assert list(map(str, image_paths_below(places["open"], most))) == [str(allowed / "inner/x.png")]


@pytest.fixture
def images(tmp_path):
    rated = [Assessment(path="broken.jpg", error="not_an_image: send another")]
    for i, (score, std, level) in enumerate([(40.0, 5.0, "poor"), (80.0, 9.0, "good"), (60.0, 20.0, "fair")]):
        Image.new("RGB", (40, 30), (50 * i,) * 3).save(tmp_path / f"{i}.png")
        rated.append(assessment(score, score_std=std, path=f"{i}.png", level=level))
    found = SortedImages({a.path: str(tmp_path / a.path) for a in rated})
    for a in rated:
        found.add(Columns().row(a))
    return found


@pytest.mark.parametrize(
    ("order", "shown", "top", "names"),
    [
        (BEST, ALL, 0, ["1.png", "2.png", "0.png"]), (WORST, ALL, 0, ["0.png", "2.png", "1.png"]),
        (NAME, ALL, 0, ["0.png", "1.png", "2.png"]), (UNSURE, ALL, 0, ["2.png", "1.png", "0.png"]),
        (WORST, ALL, 2, ["2.png", "1.png"]), (BEST, "Good", 0, ["1.png"]), (BEST, ERRORS, 0, ["broken.jpg"]),
    ],
)  # fmt: skip
def test_images_are_ordered_and_filtered(images, order, shown, top, names):
    images.order, images.shown, images.top = order, shown, top
    assert [row["path"] for row in images.chosen()] == names
    assert ("not an image" in images.gallery()) == (shown == ERRORS)
    assert "3 scores, half of them above 60" in images.histogram()
    assert "1 could not be rated" in images.progress()


def test_a_card_is_made_of_any_image_with_a_score():
    calibrated = assessment(critique="Light. " * 40, score_low=40.0, score_high=70.0, percentile=76.0)
    for size, a in (((600, 400), calibrated), ((8, 3000), assessment(0.0)), ((3000, 8), assessment(100.0))):
        made = card(a, Image.new("RGBA", size, (90, 120, 40, 128)))
        assert (made.width, made.mode) == (CARD_WIDTH_PX, "RGB")
    with pytest.raises(OutputError, match="score"):
        card(Assessment(), Image.new("RGB", (10, 10)))


def test_the_download_folder_is_swept_by_age_and_deleted_at_the_end(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    place = DownloadFolder()
    own, old, young = files = [place.folder / n for n in ("own.png", "old.png", "young.png")]
    own.touch()
    place.begin()
    young.touch()
    for file in (own, old):
        file.touch()
        os.utime(file, (1, 1))
    assert place.sweep() == 1
    assert [file.exists() for file in files] == [True, False, True]
    place.close()
    assert not place.folder.exists()
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path)


def test_a_folder_is_zipped_whole(tmp_path):
    (tmp_path / "tower").mkdir()
    for name in ("fast.json", "tower/x"):
        (tmp_path / name).write_text("{}")
    assert zipfile.ZipFile(zipped(tmp_path, "taste.zip")).namelist() == ["fast.json", "tower/x"]


def test_large_images_are_freed_when_a_visitor_leaves(tmp_path):
    model = SharedAssessor(Assessor.from_pretrained())
    PHOTOS[2].save(tmp_path / "coffee.png")
    session = open_session(model, str(tmp_path / "coffee.png"))
    visits = OpenSessions()
    for visitor in ("one", None):
        visits.hold(visitor, session)
    for visitor in ("other", None):
        visits.leave(visitor)
    assert session.image.size == PHOTOS[2].size
    add_occlusion_map(model, session)
    assert session.heat is not None
    visits.leave("one")
    visits.leave("one")
    assert max(session.image.size) <= 480 and session.heat is None
    # whoever comes back, or left too early, still gets the rest
    add_critique(model, session)
    assert session.assessment.critique and session.explanation.claims


@pytest.fixture
def lesson():
    seen = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    names, photos = [f"{i:02d}.jpg" for i in range(40)], [Image.new("RGB", (40, 30), (90, 90, 90))] * 40
    return TeachingSession(teaching_photos(names, photos, seen, 50 + 10 * seen[:, 0].astype(np.float64)))


def teach(lesson, ratings):
    """Stars for what the base_score does not look at."""
    for _ in range(ratings):
        along = lesson.photos[lesson.at].embedding[1]
        lesson.rate(int(np.clip(round(3 + 1.5 * float(along)), 1, 5)))


def test_a_lesson_learns_after_twenty_ratings_and_again_after_five_or_a_correction(lesson):
    teach(lesson, 19)
    assert not lesson.is_due()
    assert "1 more until it learns" in lesson.shown()
    for ratings, rest in ((20, 4), (25, 0)):
        teach(lesson, 1)
        assert lesson.is_due()
        lesson.learn()
        assert lesson.cross_validation.n == ratings
        assert f"{ratings} ratings" in lesson.learned()
        teach(lesson, rest)
        assert not lesson.is_due()
    lesson.pick(3)
    assert lesson.photos[3].name in lesson.shown()
    lesson.rate(5)
    assert lesson.is_due(), "a correction is learned at once"
    assert lesson.photos[3].stars == 5


@pytest.mark.parametrize("asks", [False, True])
def test_every_photo_is_asked_about_once_before_any_twice(lesson, asks):
    lesson.asks = asks
    teach(lesson, 20)
    lesson.learn()
    for step in (-1, 1):
        lesson.move(step)
    teach(lesson, 20)
    table = list(csv.DictReader(io.StringIO(lesson.ratings())))
    assert {row["path"] for row in table} == {photo.name for photo in lesson.photos}
    assert len(lesson.rated) == len(table) == 40


def test_equal_stars_teach_nothing_and_say_so(lesson):
    for _ in range(20):
        lesson.rate(3)
    lesson.learn()
    assert lesson.head is None
    assert "every photo has 3 stars" in lesson.learned()


def test_a_port_that_is_taken_is_an_error_and_the_next_free_one_is_found():
    taken = _listen("127.0.0.1", 0)
    with pytest.raises(OSError, match="use"):
        _listen("127.0.0.1", taken.getsockname()[1])
    first, second = (_listen("127.0.0.1", None) for _ in range(2))
    assert FIRST_PORT <= first.getsockname()[1] < second.getsockname()[1]
    for listening in (taken, first, second):
        listening.close()


def test_an_upload_field_takes_only_uploaded_files(monkeypatch, tmp_path):
    sent = tmp_path / "sent"
    sent.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(sent))
    field = upload_field("x")
    (sent / "out.png").symlink_to("/etc/passwd")
    for path in ("/etc/passwd", "http://192.0.2.1/x.png", f"{sent}/../x.png", f"{sent}/out.png"):
        with pytest.raises(gr.Error, match="Send the image itself"):
            asyncio.run(field.async_move_resource_to_block_cache(path))
    (sent / "a.png").touch()
    assert asyncio.run(field.async_move_resource_to_block_cache(f"{sent}/a.png")) == f"{sent}/a.png"
