import cv2
import numpy as np
import pytest
from PIL import Image

from tests.photos import PHOTOS, gray
from vlm_aes.cull import detector
from vlm_aes.cull.faces import FaceReader
from vlm_aes.errors import CheckpointError

ASTRONAUT, CAT, COFFEE = PHOTOS
EYES = (195, 92, 260, 117)
"""Box of both eyes of the astronaut, in px."""


@pytest.fixture(scope="module")
def reader():
    return FaceReader()


def changed_eyes(change):
    """The astronaut with the box of both eyes changed by a function of its pixels."""
    pixels = np.array(ASTRONAUT.convert("RGB"))
    left, top, right, bottom = EYES
    pixels[top:bottom, left:right] = change(pixels[top:bottom, left:right])
    return Image.fromarray(pixels)


def test_a_face_has_its_place_open_eyes_and_sharpness(reader):
    (face,) = reader.read(ASTRONAUT)
    left, top, right, bottom = face.box
    assert left < 200 / 512 < 250 / 512 < right
    assert top < 105 / 512 < 150 / 512 < bottom
    assert face.presence > 0.99
    assert face.eyes == "open"
    assert 0.25 < face.openness < 0.5
    assert face.sharpness > 0
    assert 90 <= face.side_px <= 125


@pytest.mark.parametrize("image", [CAT, COFFEE, gray(128), gray(0, (3, 500)), gray(255, (1, 1))])
def test_an_animal_a_cup_and_plain_or_tiny_images_have_no_face(reader, image):
    assert reader.read(image) == []


def test_a_mirror_image_has_the_mirrored_face(reader):
    face, other = reader.read(ASTRONAUT)[0], reader.read(ASTRONAUT.transpose(Image.Transpose.FLIP_LEFT_RIGHT))[0]
    assert other.eyes == face.eyes
    assert other.openness == pytest.approx(face.openness, abs=0.04)
    assert 1 - other.box[2] == pytest.approx(face.box[0], abs=0.03)


def test_a_turned_photo_keeps_its_face_and_its_eyes(reader):
    (face,) = reader.read(ASTRONAUT.rotate(20, Image.Resampling.BICUBIC))
    assert face.eyes == "open"


def test_sharpness_falls_with_blur_and_is_none_for_a_small_face(reader):
    pixels = np.asarray(ASTRONAUT.convert("RGB"))
    soft = Image.fromarray(cv2.GaussianBlur(pixels, (0, 0), 1.0))
    assert reader.read(soft)[0].sharpness < 0.5 * reader.read(ASTRONAUT)[0].sharpness
    (small,) = reader.read(ASTRONAUT.resize((160, 160)))
    assert small.sharpness is None
    assert small.eyes == "unknown"
    assert small.openness is None


@pytest.mark.parametrize(
    "change",
    [
        lambda eyes: np.full_like(eyes, 15),
        lambda eyes: np.full_like(eyes, 120),
        lambda eyes: cv2.GaussianBlur(eyes, (0, 0), 6),
        lambda eyes: np.random.default_rng(0).integers(0, 256, eyes.shape, np.uint8),
        lambda eyes: np.where(np.abs(np.arange(len(eyes)) - 12)[:, None, None] < 3, 20, eyes).astype(np.uint8),
    ],
    ids=["black bar", "grey bar", "blur", "noise", "thin bar"],
)
def test_hidden_eyes_are_never_called_closed(reader, change):
    assert all(face.eyes != "closed" for face in reader.read(changed_eyes(change)))


def test_faces_come_largest_first_each_once(reader):
    pair = Image.new("RGB", (900, 512))
    pair.paste(ASTRONAUT.resize((300, 300)), (0, 0))
    pair.paste(ASTRONAUT, (388, 0))
    sizes = [face.side_px for face in reader.read(pair)]
    assert len(sizes) == 2
    assert sizes == sorted(sizes, reverse=True)


def test_a_missing_model_or_runtime_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(detector, "MODEL_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="face_detection_back"):
        FaceReader()
    monkeypatch.setattr(detector, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install onnxruntime"):
        FaceReader()
