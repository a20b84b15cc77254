"""Image classifiers as raters."""

import numpy as np
import pytest
import torch
import transformers as t

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.models.external.classifier import label_values

VIT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
       "num_attention_heads": 2, "image_size": 32, "patch_size": 16}  # fmt: skip


def classifier(folder, labels):
    torch.manual_seed(0)
    ids = {label: i for i, label in enumerate(labels)}
    model = t.ViTForImageClassification(t.ViTConfig(**VIT, id2label=dict(enumerate(labels)), label2id=ids))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    tiny.siglip_processor(32).save_pretrained(folder)
    return folder


def logits(folder, images):
    processor = t.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return t.ViTForImageClassification.from_pretrained(folder)(pixels).logits.double()


SEVEN = ["masterpiece", "best", "great", "good", "normal", "low", "worst"]


def test_labels_tell_their_worth_or_do_not():
    for labels, worth in (
        (["hq", "lq"], [1, 0]),
        (["not_aesthetic", "aesthetic"], [0, 1]),
        (SEVEN, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0]),
        (["Bad", "Poor", "Fair", "Good", "Excellent"], [0, 0.25, 0.5, 0.75, 1]),
        (["10", "1", "4"], [1, 0, 1 / 3]),
        (["1 star", "2 stars", "3 stars"], [0, 0.5, 1]),
        (["high quality", "low quality"], [1, 0]),
    ):
        assert label_values(labels) == pytest.approx(worth), labels
    for labels in (["LABEL_0", "LABEL_1"], ["cat", "dog"], ["good", "high"], ["cat", "not cat"], ["good"]):
        assert label_values(labels) is None, labels


def test_the_score_is_the_mean_worth(tmp_path):
    folder = classifier(tmp_path / "anime", SEVEN)
    images = [image.resize((48, 40)) for image in tiny.images(5)]
    shares = logits(folder, images).softmax(-1).numpy()
    found = Assessor.from_pretrained(folder).assess(images, facts=False)
    np.testing.assert_allclose([a.score for a in found], 100 * shares @ np.linspace(1, 0, 7), atol=1e-2)
    assert np.ptp([a.score for a in found]) > 0
    assert all(sum(a.probabilities.values()) == pytest.approx(1) for a in found)
    assert found[0].model.startswith("anime@")
    five = classifier(tmp_path / "five", ["excellent", "good", "fair", "poor", "bad"])
    a = Assessor.from_pretrained(five).assess(images[0], facts=False)
    own = logits(five, images[:1]).softmax(-1).numpy()[0]
    np.testing.assert_allclose(list(a.probabilities.values()), own[::-1], atol=1e-5)


def rater(folder, setting):
    file = folder / "mine.toml"
    file.write_text(f'kind = "classifier"\nmodel = "model"\n{setting}\n')
    return Assessor.from_pretrained(file)


def test_labels_that_do_not_tell_and_one_number_need_a_rater_file(tmp_path):
    folder = classifier(tmp_path / "model", ["LABEL_0", "LABEL_1"])
    with pytest.raises(CheckpointError, match="LABEL_0, LABEL_1; say in a rater file"):
        Assessor.from_pretrained(folder)
    image = tiny.images(1)[0]
    share = float(logits(folder, [image]).softmax(-1)[0, 0])
    a = rater(tmp_path, "worth = {LABEL_0 = 1, LABEL_1 = 0.2}").assess(image, facts=False)
    assert a.score == pytest.approx(100 * (share + 0.2 * (1 - share)), abs=0.01)
    with pytest.raises(CheckpointError, match="each of its labels a worth"):
        rater(tmp_path, "worth = {LABEL_0 = 1}")
    with pytest.raises(CheckpointError, match="as a classifier: .*colour"):
        rater(tmp_path, "colour = 3")
    # one number needs its scale
    classifier(folder, ["score"])
    with pytest.raises(CheckpointError, match='scale = "1-10"'):
        Assessor.from_pretrained(folder)
    images = tiny.images(4)
    own = logits(folder, images)[:, 0].numpy()
    found = rater(tmp_path, 'scale = "0-4"').assess(images, facts=False)
    np.testing.assert_allclose([a.columns["score_own"] for a in found], own, atol=1e-4)
    np.testing.assert_allclose([a.score for a in found], np.clip(own / 4, 0, 1) * 100, atol=1e-2)
