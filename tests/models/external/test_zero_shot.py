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
    tokens = {"vocab_size": 400, "eos_token_id": 1, "bos_token_id": 2, "pad_token_id": 0}
    text = {**SMALL, **tokens, "max_position_embeddings": 96}
    if kind == "clip":
        model = t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=EYES, projection_dim=24))
        tiny.clip_processor(32).save_pretrained(folder)
    else:
        model = t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=EYES))
        tiny.siglip_processor(32).save_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def by_hand(kind, folder, images, pairs):
    """100 times the mean share of the better prompts of pairs, from the model's own logits."""
    words = t.AutoTokenizer.from_pretrained(folder)
    processor = t.AutoImageProcessor.from_pretrained(folder, backend="pil")
    padding = {"padding": True} if kind == "clip" else {"padding": "max_length", "max_length": 96}
    read = ("input_ids", "attention_mask") if kind == "clip" else ("input_ids",)
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    model, shares = t.AutoModel.from_pretrained(folder), []
    for pair in pairs:
        encoded = words(list(pair), return_tensors="pt", **padding)
        with torch.no_grad():
            out = model(pixel_values=pixels, **{name: encoded[name] for name in read})
        shares.append(out.logits_per_image.double().softmax(-1)[:, 0].numpy())
    return 100 * np.mean(shares, axis=0)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_score_is_the_share_of_the_better_prompts(kind, tmp_path):
    folder = towers(kind, tmp_path / kind)
    images = [image.resize((48, 40)) for image in tiny.images(5)]
    asked = AntonymPairs.default()
    assessor = Assessor.from_pretrained(folder, device="cpu")
    found = assessor.assess(images, facts=False, attributes=True)
    wanted = by_hand(kind, folder, images, asked.overall)
    np.testing.assert_allclose([a.score for a in found], wanted, atol=1e-2)
    assert np.ptp(wanted) > 1e-2
    for name, pairs in asked.attributes.items():
        said = [a.attributes[name] for a in found]
        np.testing.assert_allclose(said, by_hand(kind, folder, images, pairs), atol=1e-2)
    assert assessor.rating_attributes == tuple(asked.attributes)
    alone = assessor.assess(images[2], facts=False)
    assert (alone.score, alone.attributes) == (pytest.approx(found[2].score, abs=0.01), {})


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
    found = [(a.score, a.attributes["mood"]) for a in assessor.assess(images, facts=False, attributes=True)]
    for i, pair in enumerate([("A calm photo.", "A busy photo."), ("A happy photo.", "A sad photo.")]):
        np.testing.assert_allclose([a[i] for a in found], by_hand("clip", folder, images, [pair]), atol=1e-2)
    assert assessor.prompt_id != Assessor.from_pretrained(folder).prompt_id


def test_a_rater_file_that_is_none_is_told(tmp_path):
    file, pairs = tmp_path / "mine.toml", 'kind = "zero-shot"\nmodel = "clip"\noverall = '
    member = 'kind = "ensemble"\n[[member]]\n'
    for text, reason in (
        (f'{member}model = "nano"', "at least two members"),
        (f'{member}model = "nano"\nweight = -1\n[[member]]\nmodel = "nano"\nfast = true', "weights are at least 0"),
        (f"{member}weight = 1", "model is needed"),
        *((pairs + wrong, "two different prompts") for wrong in ('[["one"]]', '[["same", "same"]]', "[]")),
        ("kind = ", "cannot be read as a rater file"),
        ('model = "x"', "kind = None; it is one of published, classifier"),
        ('kind = "zero-shot"', "missing 1 required positional argument: 'model'"),
    ):
        file.write_text(text)
        with pytest.raises(CheckpointError, match=reason):
            Assessor.from_pretrained(file)
    with pytest.raises(CheckpointError, match="cannot be read as a rater file"):
        Assessor.from_pretrained(tmp_path / "gone.toml")
