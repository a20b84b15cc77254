"""Images whose ratings follow their brightness, checkpoints to train, and the command line."""

from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes.assessor import Assessor
from vlm_aes.cli import app
from vlm_aes.ratings.table import read_ratings
from vlm_aes.stats import metrics


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def save_images(folder, levels):
    """Images as files, each with its share of light."""
    for i, (image, level) in enumerate(zip(tiny.images(len(levels), seed=3), levels)):
        image.point(lambda x, level=level: x * level).save(folder / f"{i}.png")


@pytest.fixture(scope="session")
def shoot(tmp_path_factory):
    """80 images, rated well where they are bright, a third of them with a critique."""
    folder = tmp_path_factory.mktemp("shoot")
    levels = np.random.default_rng(0).uniform(0.1, 1, 80)
    save_images(folder, levels)
    rows = [f"{i}.png,{1 + 4 * level:.3f},0.5,{'' if i % 3 else 'too dark'}" for i, level in enumerate(levels)]
    (folder / "r.csv").write_text("\n".join(["path,rating,std,critique", *rows]))
    return folder


@pytest.fixture(scope="session")
def table(shoot):
    return read_ratings(shoot / "r.csv", shoot)


@pytest.fixture(scope="session")
def pairs_shoot(tmp_path_factory):
    """60 pairs of images: the brighter, that of odd number, is preferred, whatever it shows."""
    folder = tmp_path_factory.mktemp("pairs")
    save_images(folder, np.random.default_rng(0).uniform(0.1, 0.4, 120) + 0.5 * (np.arange(120) % 2))
    ends = [(i, i + 1, "b") if i % 3 == 0 else (i + 1, i, "a") for i in range(0, 120, 2)]
    rows = [f"{a}.png,{b}.png,{preferred}" for a, b, preferred in ends]
    (folder / "pairs.csv").write_text("\n".join(["path_a,path_b,preferred", *rows]))
    return folder


@pytest.fixture
def few_draws(monkeypatch):
    """Intervals are tested elsewhere; here they only cost time."""
    monkeypatch.setattr(metrics, "bootstrap", partial(metrics.bootstrap, draws=20))


@pytest.fixture
def fresh(tiny_checkpoint):
    def assessor(family="fast_vlm"):
        if family == "smolvlm":
            pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
        return Assessor.from_pretrained(tiny_checkpoint(family))

    return assessor
