"""A fast path as an ONNX file: the same numbers, from the file alone."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from tests.models.external.test_published import HEADS, clip_tower
from vlm_aes import Assessor
from vlm_aes.cli import app
from vlm_aes.errors import CheckpointError, ExportError
from vlm_aes.models.heads.export import export, largest_difference, trial_images
from vlm_aes.models.heads.onnx import OnnxScorer
from vlm_aes.models.nano import NANO
from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.registry import load_scorer


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Nano's fast path."""
    out = tmp_path_factory.mktemp("export") / "nano.onnx"
    done = CliRunner().invoke(app, ["export", "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    assert "of torch's" in done.stderr
    return out


def test_onnx_and_torch_agree(exported):
    fast = Assessor.from_pretrained(fast=True)
    assert largest_difference(fast.head, OnnxScorer(exported), trial_images()) < 1e-4
    images = tiny.images(5)
    wanted = fast.assess(images, facts=False)
    assessor = Assessor.from_pretrained(exported)
    found = assessor.assess(images, facts=False)
    for a, b in zip(wanted, found, strict=True):
        assert b.score == pytest.approx(a.score, abs=0.01)
        assert b.score_low == pytest.approx(a.score_low, abs=0.01)
        assert b.percentile == pytest.approx(a.percentile, abs=0.01)
        assert (b.warning, b.level) == (a.warning, a.level)
        assert (b.model, b.prompt) == (f"{a.model}:onnx", a.prompt)
    alone = assessor.assess(images[3], facts=False)
    assert alone.score == pytest.approx(found[3].score, abs=0.01)


def test_openvino_agrees_too(exported):
    pytest.importorskip("openvino")
    fast = Assessor.from_pretrained(fast=True)
    other = Assessor.from_pretrained(f"openvino:{exported}")
    assert largest_difference(fast.head, other.head, trial_images()) < 1e-4
    assert other.model_id.endswith(":openvino")


def test_the_file_stands_alone(exported):
    """Whoever has only the file and ONNX Runtime gets the scores: what to do is written in it."""
    session = onnxruntime.InferenceSession(exported)
    about = json.loads(session.get_modelmeta().custom_metadata_map["vlm_aes"])
    image = tiny.images(1)[0]
    width, height = about["framing"]["resize"]
    small = image.resize((width, height), Image.Resampling(about["framing"]["resample"]))
    said = session.run(["rating"], {"image": np.asarray(small)[None]})[0][0]
    score = 100 * float(said @ np.array([0, 0.25, 0.5, 0.75, 1]))
    wanted = Assessor.from_pretrained(fast=True).assess(image, facts=False)
    assert score == pytest.approx(wanted.score, abs=0.05)


@pytest.mark.parametrize("name", ["laion-v2", "city"])
def test_published_heads_go_along(name, tmp_path):
    torch.manual_seed(4)
    torch.save(HEADS[name](), tmp_path / "head.pth")
    clip_tower(tmp_path / "tower", 768)
    scorer = load_scorer(f"{name}:{tmp_path / 'head.pth'}", options=LoadOptions(device="cpu"))
    out = tmp_path / "head.onnx"
    assert export(scorer, out) < 1e-4
    images = tiny.images(4)
    wanted = Assessor.from_pretrained(f"{name}:{tmp_path / 'head.pth'}").assess(images, facts=False)
    found = Assessor.from_pretrained(out).assess(images, facts=False)
    for a, b in zip(wanted, found, strict=True):
        assert b.columns["score_own"] == pytest.approx(a.columns["score_own"], abs=1e-3)
        assert b.score == pytest.approx(a.score, abs=0.02)


def test_nothing_is_written_that_does_not_agree(tmp_path, monkeypatch):
    scorer = load_scorer(NANO, fast=True, options=LoadOptions(device="cpu"))
    monkeypatch.setattr("vlm_aes.models.heads.export.EXPORT_TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="differ by"):
        export(scorer, tmp_path / "nano.onnx")
    assert not list(tmp_path.iterdir())


def test_files_that_are_none(tmp_path, exported):
    def run(*words):
        return CliRunner().invoke(app, list(map(str, words)))

    assert "ends in .onnx" in run("export", "--out", tmp_path / "x.bin").stderr
    assert run("export", "--out", exported).exit_code == 2
    (tmp_path / "text.onnx").write_text("nothing")
    with pytest.raises(CheckpointError, match="cannot be read as an ONNX file"):
        Assessor.from_pretrained(tmp_path / "text.onnx")
    with pytest.raises(CheckpointError, match=r"gone\.onnx"):
        Assessor.from_pretrained(tmp_path / "gone.onnx")
    rows = run("score", tmp_path, "--model", exported)
    assert rows.exit_code == 2
