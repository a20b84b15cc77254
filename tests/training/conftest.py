"""Tables of small images whose ratings follow their brightness, and checkpoints to train."""

from functools import partial

import numpy as np
import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes.assessor import Assessor
from vlm_aes.ratings.table import read_ratings
from vlm_aes.stats import metrics


def bright_images(folder, n, brightness):
    """``n`` images as files; ``brightness`` gives the share of light of the i-th. Returns them."""
    levels = []
    for i, image in enumerate(tiny.images(n, seed=3)):
        levels.append(brightness(i))
        image.point(lambda x, level=levels[-1]: x * level).save(folder / f"{i}.png")
    return levels


def write_table(folder, levels, *, columns="", cells=lambda i: ""):
    """``r.csv``: bright images are rated well."""
    lines = [f"path,rating{columns}"]
    lines += [f"{i}.png,{1 + 4 * level:.3f}{cells(i)}" for i, level in enumerate(levels)]
    (folder / "r.csv").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def shoot(tmp_path_factory):
    """80 rated images, a third of them with a critique."""
    folder = tmp_path_factory.mktemp("shoot")
    rng = np.random.default_rng(0)
    levels = bright_images(folder, 80, lambda i: rng.uniform(0.1, 1))
    write_table(folder, levels, columns=",std,critique", cells=lambda i: ",0.5," + ("too dark" if i % 3 == 0 else ""))
    return folder


@pytest.fixture(scope="module")
def table(shoot):
    return read_ratings(shoot / "r.csv", shoot)


@pytest.fixture
def few_draws(monkeypatch):
    """Intervals are tested elsewhere; here they only cost time."""
    monkeypatch.setattr(metrics, "bootstrap", partial(metrics.bootstrap, draws=20))


@pytest.fixture
def fresh(tiny_checkpoint):
    return lambda family="fast_vlm": Assessor.from_pretrained(tiny_checkpoint(family))
