"""Towers of images and words, asked with antonyms."""

import numpy as np
import pytest
import torch
import transformers as t

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.models.external.zero_shot import AntonymPairs

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
EYES = {**SMALL, "image_size": 32, "patch_size": 16}


def towers(kind, folder):
    torch.manual_seed(0)
    words = tiny.tokenizer("<image>")
    words.chat_template = None
    # as CLIP's and SigLIP's own, which end every text with one token that is read
    words.model_max_length = 96
    text = {**SMALL, "vocab_size": 400, "max_position_embeddings": 96, "eos_token_id": 1,
            "bos_token_id": 2, "pad_token_id": 0}  # fmt: skip
    if kind == "clip":
        config = t.CLIPConfig(text_config=text, vision_config=EYES, projection_dim=24)
        model = t.CLIPModel(config)
        tiny.clip_processor(32).save_pretrained(folder)
    else:
        config = t.SiglipConfig(text_config=t.SiglipTextConfig(**text), vision_config=t.SiglipVisionConfig(**EYES))
        model = t.SiglipModel(config)
        tiny.siglip_processor(32).save_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def by_hand(kind, folder, images, pair):
    """The better prompt's share for one pair, from the model's own logits."""
    words = t.AutoTokenizer.from_pretrained(folder)
    processor = t.AutoImageProcessor.from_pretrained(folder, backend="pil")
    padding = {"padding": True} if kind == "clip" else {"padding": "max_length", "max_length": 96}
    encoded = words(list(pair), return_tensors="pt", **padding)
    inputs = {"input_ids": encoded["input_ids"]}
    if kind == "clip":
        inputs["attention_mask"] = encoded["attention_mask"]
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        out = t.AutoModel.from_pretrained(folder)(pixel_values=pixels, **inputs)
    return out.logits_per_image.double().softmax(-1)[:, 0].numpy()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_score_is_the_share_of_the_better_prompts(kind, tmp_path):
    folder = towers(kind, tmp_path / kind)
    images = [image.resize((48, 40)) for image in tiny.images(5)]
    asked = AntonymPairs.default()
    assessor = Assessor.from_pretrained(folder, device="cpu")
    found = assessor.assess(images, facts=False, attributes=True)
    wanted = np.mean([by_hand(kind, folder, images, pair) for pair in asked.overall], axis=0)
    np.testing.assert_allclose([a.score for a in found], 100 * wanted, atol=1e-2)
    assert np.ptp(wanted) > 1e-4
    for name, pairs in asked.attributes.items():
        wanted = np.mean([by_hand(kind, folder, images, pair) for pair in pairs], axis=0)
        said = [a.attributes[name] for a in found]
        np.testing.assert_allclose(said, 100 * wanted, atol=1e-2)
    assert assessor.rating_attributes == tuple(asked.attributes)
    alone = assessor.assess(images[2], facts=False)
    assert alone.score == pytest.approx(found[2].score, abs=0.01)
    assert alone.attributes == {}


def test_pairs_of_ones_own(tmp_path):
    folder = towers("clip", tmp_path / "clip")
    file = tmp_path / "mine.toml"
    file.write_text(
        'kind = "zero-shot"\nmodel = "clip"\noverall = [["A calm photo.", "A busy photo."]]\n'
        '[attributes]\nmood = [["A happy photo.", "A sad photo."]]\n'
    )
    images = tiny.images(3)
    assessor = Assessor.from_pretrained(file)
    assert assessor.rating_attributes == ("mood",)
    found = assessor.assess(images, facts=False, attributes=True)
    wanted = by_hand("clip", folder, images, ("A calm photo.", "A busy photo."))
    np.testing.assert_allclose([a.score for a in found], 100 * wanted, atol=1e-2)
    wanted = by_hand("clip", folder, images, ("A happy photo.", "A sad photo."))
    np.testing.assert_allclose([a.attributes["mood"] for a in found], 100 * wanted, atol=1e-2)
    assert assessor.prompt_id != Assessor.from_pretrained(folder).prompt_id
    for wrong in ('overall = [["one"]]', 'overall = [["same", "same"]]', "overall = []"):
        file.write_text(f'kind = "zero-shot"\nmodel = "clip"\n{wrong}\n')
        with pytest.raises(CheckpointError, match="two different prompts"):
            Assessor.from_pretrained(file)


def test_a_rater_file_that_is_none_is_told(tmp_path):
    file = tmp_path / "mine.toml"
    for text, reason in (
        ("kind = ", "cannot be read as a rater file"),
        ('model = "x"', "kind = None; it is one of published, classifier"),
        ('kind = "zero-shot"', "missing 1 required positional argument: 'model'"),
    ):
        file.write_text(text)
        with pytest.raises(CheckpointError, match=reason):
            Assessor.from_pretrained(file)
    with pytest.raises(CheckpointError, match="cannot be read as a rater file"):
        Assessor.from_pretrained(tmp_path / "gone.toml")
