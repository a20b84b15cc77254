"""The audit: its figures are right where the answer is known, and the command gives them all."""

import json

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessment, Assessor
from vlm_aes.cli import app
from vlm_aes.explain.audit import contradiction_rate, selectivity, variety
from vlm_aes.images.degrade import degrade
from vlm_aes.measure import Fact


def test_likelihood_is_the_models_own_and_ignores_the_batch():
    assessor = Assessor.from_pretrained(precision="fp32")
    critic, backbone = assessor.critic, assessor.rater.backbone

    def tokens(text):
        return backbone.tokenizer(text, add_special_tokens=False)["input_ids"]

    texts = ["Fine light.", "The whole frame is blurred, and the subject is lost in it."]
    inputs, photos = [("", 50.0, "fair", None)] * 2, tiny.images(2)
    together = critic.log_likelihood(photos, inputs, texts)
    for i, text in enumerate(texts):
        assert critic.log_likelihood([photos[i]], inputs[:1], [text])[0] == pytest.approx(together[i], abs=1e-4)
        whole = critic.render(critic.instruction(*inputs[i])) + text
        n, encoded, total = len(tokens(text)), backbone.encode([photos[i]], [whole]), 0.0
        length = encoded["input_ids"].shape[1]
        for left, token in enumerate(tokens(whole)[-n:], start=-n):
            short = {k: v[:, :left] if v.shape[1:] == (length,) else v for k, v in encoded.items()}
            total += float(torch.log_softmax(backbone.full_logits(short)[0].float(), -1)[token])
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
    facts = {name: Fact(name, 0.0, "", band) for name, band in (("hue", "blue"), ("sharpness", "sharp"))}
    assert contradiction_rate(texts, [facts] * 4) == 0.5
    assert contradiction_rate(["Good."], [facts]) is None
    assert variety(texts) == {"top_sentence": "good", "top_sentence_share": 0.5, "distinct_share": 0.5}


def test_command(tmp_path):
    coffee = Image.fromarray(skimage.data.coffee())
    coffee.save(tmp_path / "coffee.png")
    for fault in ("blur", "underexposure", "noise"):
        degrade(coffee, fault, 0.8).save(tmp_path / f"{fault}.png")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "broken.jpg").write_bytes(b"no picture")
    result, again = (CliRunner().invoke(app, ["audit", "--images", str(tmp_path), "--json"]) for _ in range(2))
    assert result.exit_code == 1, result.output
    data = json.loads(result.stdout)
    assert {"polarity_srcc", "aspects_mean", "top_sentence_share", "distinct_share", "stability"} <= set(data)
    assert (data["n"], data["n_error"]) == (4, 1)
    assert 0 <= data["own_photo_preferred"] <= 1 and data["contradiction_rate"] <= 0.1
    assert json.loads(again.stdout) == data
    assert CliRunner().invoke(app, ["audit", "--images", str(tmp_path / "broken")]).exit_code == 2
