"""The rules around the iris net, with the lids that it would find in its place."""

import numpy as np
import pytest

from tests.photos import PHOTOS
from vlm_aes.cull import eyes
from vlm_aes.cull.detector import FaceDetector, load_net, net_input
from vlm_aes.cull.eyes import EyeReader
from vlm_aes.cull.faces import mesh_region

PIXELS = np.asarray(PHOTOS[0].convert("RGB"))


@pytest.fixture(scope="module")
def mesh():
    """(468, 2) points of the astronaut's face, with the mouth shut and level."""
    region = mesh_region(FaceDetector().detect(PIXELS)[0])
    values, _ = load_net("face_landmark")(net_input(region.crop(PIXELS, 192)))
    points = region.points_in_image(values.reshape(-1, 3)[:, :2], 192)
    left, right = points[list(eyes._MOUTH_CORNERS)]
    points[list(eyes._LIPS)] = (left + right) / 2
    return points


def reader_of(*opennesses):
    """A reader whose net gives each openness in turn, for both eyes of a view, and then the last."""
    reader, left = EyeReader(), [value for value in opennesses for _ in range(2)]

    def net(values):
        height = 30 * (left.pop(0) if len(left) > 1 else left[0])
        lids = np.full((71, 3), 32, np.float32)
        lids[0, 0], lids[8, 0] = 17, 47
        for lower, upper in eyes._LID_PAIRS:
            lids[lower, 1], lids[upper, 1] = 32 + height / 2, 32 - height / 2
        return [lids.reshape(1, -1), np.zeros((1, 15), np.float32)]

    reader._net = net
    return reader


@pytest.mark.parametrize(
    ("opennesses", "state"),
    [((0.35,), "open"), ((0.08,), "closed"), ((0.21,), "unknown"), ((0.08, 0.08, 0.25), "unknown")],
    ids=["open", "closed in every view", "between", "one view says open"],
)
def test_the_state_follows_the_openness_of_every_view(mesh, opennesses, state):
    found = reader_of(*opennesses).read(PIXELS, mesh)
    assert found.state == state
    assert found.openness == pytest.approx(opennesses[0], abs=1e-3)


def laugh(mesh):
    lower = mesh.copy()
    lower[eyes._LIPS[1], 1] += 25
    return PIXELS, lower


def profile(mesh):
    turned = mesh.copy()
    turned[eyes._EYE_CORNERS[0][0]] = turned[eyes._EYE_CORNERS[0][1]] - (3, 0)
    return PIXELS, turned


def tiny(mesh):
    return np.ascontiguousarray(PIXELS[::4, ::4]), mesh / 4


def bar(level):
    def covered(mesh):
        pixels = PIXELS.copy()
        y, reach = round(float(mesh[eyes._EYE_CORNERS[0][0], 1])), 12
        pixels[y - reach : y + reach] = level
        return pixels, mesh

    return covered


@pytest.mark.parametrize("hide", [laugh, profile, tiny, bar(10), bar(250)])
def test_a_laugh_a_profile_a_small_face_and_a_bar_are_unknown_and_not_closed(mesh, hide):
    assert reader_of(0.08).read(*hide(mesh)).state == "unknown"


def test_sharpness_outside_the_image_is_none(mesh):
    assert eyes.eye_sharpness(PIXELS, mesh + 5_000) is None
    assert EyeReader().read(PIXELS, mesh + 5_000).state != "closed"
