"""The audit: its figures are right where the answer is known, and the command gives them all."""

import json

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from typer.testing import CliRunner

from vlm_aes import Assessment, Assessor
from vlm_aes.cli import app
from vlm_aes.explain.audit import contradiction_rate, selectivity, variety
from vlm_aes.images.degrade import DEGRADATIONS, degrade
from vlm_aes.measure import Fact

FIGURES = {
    "n", "own_photo_preferred", "contradiction_rate", "polarity_srcc", "aspects_mean",
    "top_sentence_share", "distinct_share", "stability",
}  # fmt: skip


@pytest.fixture(scope="module")
def assessor():
    return Assessor.from_pretrained(precision="fp32")


@pytest.fixture(scope="module")
def photos():
    coffee = Image.fromarray(skimage.data.coffee())
    return [coffee, *(degrade(coffee, fault, 0.8) for fault in DEGRADATIONS)]


def test_likelihood_is_the_models_own_and_ignores_the_batch(assessor, photos):
    critic, backbone = assessor.critic, assessor.rater.backbone
    texts = ["Fine light.", "The whole frame is blurred, and the subject is lost in it."]
    inputs = [("", 50.0, "fair", None)] * 2
    together = critic.log_likelihood(photos[:2], inputs, texts)
    for i, text in enumerate(texts):
        assert critic.log_likelihood([photos[i]], inputs[:1], [text])[0] == pytest.approx(together[i], abs=1e-4)
        asked = critic.render(critic.instruction(*inputs[i]))
        n = len(backbone.tokenizer(text, add_special_tokens=False)["input_ids"])
        total = 0.0
        for cut in range(n):
            ids = backbone.tokenizer(asked + text, add_special_tokens=False)["input_ids"]
            encoded = backbone.encode([photos[i]], [asked + text])
            length = encoded["input_ids"].shape[1]
            short = {
                k: v[:, : length - n + cut] if v.ndim == 2 and v.shape[1] == length else v for k, v in encoded.items()
            }
            logits = backbone.full_logits(short)[0].float()
            total += float(torch.log_softmax(logits, -1)[ids[len(ids) - n + cut]])
        assert total / n == pytest.approx(together[i], abs=1e-3)


def test_mentioning_what_stands_out_is_selective():
    spread = np.linspace(-20, 20, 8)
    outstanding = [Assessment(attributes={"light": 50 + v, "color": 50 + v / 100 + 20 * (abs(v) < 10)}) for v in spread]
    texts = ["The light is fine." if abs(v) > 10 else "The palette is muted." for v in spread]
    assert selectivity(outstanding, texts) > 0.3
    assert selectivity(outstanding, ["Nothing."] * 8) is None
    assert selectivity([Assessment(), Assessment()], ["The light."] * 2) is None


def test_contradictions_and_variety_are_counted():
    texts = ["Good. Blue tones lead.", "Good. It is blurred.", "It is weak.", "It is weak."]
    bands = {"hue": "blue", "sharpness": "sharp"}
    facts = {name: Fact(name, 0.0, "", band) for name, band in bands.items()}
    assert contradiction_rate(texts, [facts] * 4) == 0.5
    assert contradiction_rate(["Good."], [facts]) is None
    assert variety(texts) == {"top_sentence": "good", "top_sentence_share": 0.5, "distinct_share": 0.5}


def test_command(photos, tmp_path):
    for i, photo in enumerate(photos):
        photo.save(tmp_path / f"{i}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    runner = CliRunner()
    result = runner.invoke(app, ["audit", "--images", str(tmp_path), "--json"])
    assert result.exit_code == 1, result.output
    data = json.loads(result.stdout)
    assert set(data) >= FIGURES
    assert data["n"] == len(photos)
    assert data["n_error"] == 1
    assert 0 <= data["own_photo_preferred"] <= 1
    assert data["contradiction_rate"] <= 0.1
    again = runner.invoke(app, ["audit", "--images", str(tmp_path), "--json"])
    assert json.loads(again.stdout) == data


def test_nothing_to_audit(tmp_path):
    runner = CliRunner()
    assert runner.invoke(app, ["audit", "--images", str(tmp_path)]).exit_code == 2
    (tmp_path / "one.jpg").write_bytes(b"no picture")
    assert runner.invoke(app, ["audit", "--images", str(tmp_path)]).exit_code == 2
