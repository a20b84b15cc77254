from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from finetune.image_nets.optics import apply_kernel, disc, trajectory
from tests.photos import PHOTOS
from vlm_aes.measure import measure, measure_for_prompt
from vlm_aes.measure.focus import BLUR_WINDOW_PX, estimate_blur, is_blurred, with_blur_evidence


def window(photo, side=BLUR_WINDOW_PX):
    luma = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if photo.ndim == 3 else photo
    return cv2.resize(luma, (side, side), interpolation=cv2.INTER_AREA)


WINDOWS = [window(photo) for photo in (skimage.data.coffee(), skimage.data.astronaut(), skimage.data.camera())]


def blurred(photo, kernel):
    return apply_kernel(photo, kernel, np.random.default_rng(2)).astype(np.uint8)


def shaken(photo, length=8.0, seed=1):
    return blurred(photo, trajectory(length, np.random.default_rng(seed)))


def motion_blurred(photo, degrees, length=15):
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    rotation = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), degrees, 1)
    kernel = cv2.warpAffine(kernel, rotation, (length, length))
    return Image.fromarray(cv2.filter2D(np.asarray(photo), -1, kernel / kernel.sum()))


@pytest.mark.parametrize("photo", PHOTOS)
def test_motion_and_a_missed_focus_are_told_apart_on_edges(photo):
    versions = [photo, photo.filter(ImageFilter.GaussianBlur(4)), motion_blurred(photo, 30), motion_blurred(photo, 90)]
    assert [measure(image)["blur"].band for image in versions] == ["none", "focus", "motion", "motion"]


@pytest.mark.parametrize("photo", WINDOWS)
def test_the_net_tells_a_steady_photo_from_a_blurred_one_and_the_kind_of_blur(photo):
    assert estimate_blur(photo).probability < 0.3
    assert estimate_blur(shaken(photo)).probability > 0.5
    unfocused = estimate_blur(blurred(photo, disc(4.0)))
    assert unfocused.probability > 0.5
    assert unfocused.kind == "focus"
    assert estimate_blur(blurred(photo, np.full((1, 9), 1 / 9, np.float32))).kind == "motion"


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(WINDOWS), st.integers(0, 50))
def test_a_mirror_image_is_as_blurred(photo, seed):
    image = shaken(photo, 5.0, seed)
    mirrored = estimate_blur(np.ascontiguousarray(image[:, ::-1]))
    assert mirrored.probability == pytest.approx(estimate_blur(image).probability, abs=1e-4)


def test_a_flat_image_is_not_blurred_and_each_thread_has_its_own_net():
    for shape in ((1, 1), (3, 700), (192, 192)):
        assert estimate_blur(np.full(shape, 70, np.uint8)).probability == 0.0
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(estimate_blur, [WINDOWS[0]] * 8))
    assert results == [estimate_blur(WINDOWS[0])] * 8


def test_the_net_is_evidence_where_the_score_is_low():
    image = Image.fromarray(shaken(WINDOWS[0])).convert("RGB")
    facts = measure_for_prompt(image)
    assert with_blur_evidence(facts, image, 80.0) is facts
    assert with_blur_evidence({}, image, 20.0) == {}
    changed = with_blur_evidence(facts, image, 20.0)
    assert is_blurred(changed)
    assert changed["sharpness"].value == facts["sharpness"].value
