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
    out = tmp_path_factory.mktemp("export") / "nano.onnx"
    done = CliRunner().invoke(app, ["export", "--out", str(out)])
    assert done.exit_code == 0 and "of torch's" in done.stderr, done.stderr
    return out


@pytest.fixture(scope="module")
def fast():
    return Assessor.from_pretrained(fast=True)


def test_onnx_and_torch_agree(exported, fast):
    assert largest_difference(fast.head, OnnxScorer(exported), trial_images()) < 1e-4
    images, assessor = tiny.images(5), Assessor.from_pretrained(exported)
    found = assessor.assess(images, facts=False)
    for a, b in zip(fast.assess(images, facts=False), found, strict=True):
        for name in ("score", "score_low", "percentile"):
            assert getattr(b, name) == pytest.approx(getattr(a, name), abs=0.01), name
        assert (b.warning, b.level) == (a.warning, a.level)
        assert (b.model, b.prompt) == (f"{a.model}:onnx", a.prompt)
    alone = assessor.assess(images[3], facts=False)
    assert alone.score == pytest.approx(found[3].score, abs=0.01)


def test_openvino_agrees_too(exported, fast):
    pytest.importorskip("openvino")
    other = Assessor.from_pretrained(f"openvino:{exported}")
    assert largest_difference(fast.head, other.head, trial_images()) < 1e-4
    assert other.model_id.endswith(":openvino")


def test_the_file_stands_alone(exported, fast):
    """Whoever has only the file and ONNX Runtime gets the scores: what to do is written in it."""
    session = onnxruntime.InferenceSession(exported)
    about = json.loads(session.get_modelmeta().custom_metadata_map["vlm_aes"])
    image, framing = tiny.images(1)[0], about["framing"]
    small = image.resize(tuple(framing["resize"]), Image.Resampling(framing["resample"]))
    said = session.run(["rating"], {"image": np.asarray(small)[None]})[0][0]
    score = float(said @ np.array([0, 25, 50, 75, 100]))
    assert score == pytest.approx(fast.assess(image, facts=False).score, abs=0.05)


@pytest.mark.parametrize("name", ["laion-v2", "city"])
def test_published_heads_go_along(name, tmp_path):
    torch.manual_seed(4)
    model, out = f"{name}:{tmp_path / 'head.pth'}", tmp_path / "head.onnx"
    torch.save(HEADS[name](), tmp_path / "head.pth")
    clip_tower(tmp_path / "tower", 768)
    assert export(load_scorer(model, options=LoadOptions(device="cpu")), out) < 1e-4
    both = (Assessor.from_pretrained(m).assess(tiny.images(4), facts=False) for m in (model, out))
    for a, b in zip(*both, strict=True):
        assert b.columns["score_own"] == pytest.approx(a.columns["score_own"], abs=1e-3)
        assert b.score == pytest.approx(a.score, abs=0.02)


def test_what_does_not_agree_is_not_written_and_what_is_no_onnx_file_is_refused(tmp_path, monkeypatch):
    scorer = load_scorer(NANO, fast=True, options=LoadOptions(device="cpu"))
    monkeypatch.setattr("vlm_aes.models.heads.export.EXPORT_TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="differ by"):
        export(scorer, tmp_path / "nano.onnx")
    assert not list(tmp_path.iterdir())
    assert "ends in .onnx" in CliRunner().invoke(app, ["export", "--out", str(tmp_path / "x.bin")]).stderr
    (tmp_path / "text.onnx").write_text("nothing")
    for name, reason in (("text.onnx", "cannot be read as an ONNX file"), ("gone.onnx", r"gone\.onnx")):
        with pytest.raises(CheckpointError, match=reason):
            Assessor.from_pretrained(tmp_path / name)
