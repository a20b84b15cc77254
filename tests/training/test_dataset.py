"""What training asks: the prompts of inference, their targets, batches."""

import numpy as np
import pytest
import torch

from tests import tiny_checkpoints as tiny
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.training import dataset
from vlm_aes.training.dataset import (
    RatingDataset,
    collate_ratings,
    critique_texts,
    encode_row,
    pad_batch,
    rating_targets,
)
from vlm_aes.training.losses import IGNORED_TOKEN


def family_or_skip(family):
    if family == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    return family


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_training_asks_what_inference_asks(family, fresh, table, monkeypatch):
    """Token for token, pixel for pixel: rows that were encoded alone and joined are the batch that
    rating and criticising encode."""
    assessor = fresh(family_or_skip(family))
    examples = RatingDataset(assessor, table, rating_targets(table), range(4))
    pad = assessor.rater.backbone.tokenizer.pad_token_id
    batch = collate_ratings([examples[i] for i in range(4)], pad)
    seen = []
    hidden = assessor.rater.backbone.last_hidden
    monkeypatch.setattr(assessor.rater.backbone, "last_hidden", lambda inputs: seen.append(inputs) or hidden(inputs))
    assessor.assess([table.source(i) for i in range(4)], facts=False)
    assert set(seen[0]) == set(batch["rating"])
    for name, wanted in seen[0].items():
        assert torch.equal(batch["rating"][name], wanted), name
    assert torch.equal(
        batch["labels"][2].double(), torch.tensor(ratings.soft_label(table.ratings[2].mean, 0.5)).float().double()
    )


def test_critiques_are_asked_for_as_at_inference(fresh, table, monkeypatch):
    assessor = fresh()
    example = RatingDataset(assessor, table, rating_targets(table), [3])[0]
    written, backbone = [], assessor.critic.backbone
    generate = backbone.generate

    def record(images, texts, *rest, **options):
        written.append(texts)
        return generate(images, texts, *rest, **options)

    monkeypatch.setattr(backbone, "generate", record)
    a = assessor.assess(table.source(3), rationale=True)
    asked, text = critique_texts(assessor, "FACTS", a.score, a.level, "too dark")
    assert text.startswith(asked)
    line = written[0][0].split("Measured:")[1].split("\n")[0]
    again, _ = critique_texts(assessor, "Measured:" + line, a.score, a.level, "too dark")
    assert again == written[0][0]
    tokenizer = assessor.rater.backbone.tokenizer
    ids = example.critique["input_ids"][0, -example.answer_tokens :]
    assert tokenizer.decode(ids).strip() == "too dark" + tokenizer.eos_token
    other = RatingDataset(assessor, table, rating_targets(table), [4])[0]
    batch = collate_ratings([example, other], 0)
    assert batch["answers"].shape == batch["critique"]["input_ids"].shape
    assert (batch["answers"] != IGNORED_TOKEN).sum() == example.answer_tokens


def test_targets_mean_what_the_raters_mean():
    made = [Rating(1, "a", 2.0), Rating(2, "b", 3.5, std=0.8), Rating(3, "c", 4.0, std=1.0, votes={"x": 5.0, "y": 3.0})]
    table = RatingTable("t", made, ratings.FIVE_POINTS, declared=True)
    for kind in ("raters", "gaussian", "two-hot"):
        labels = rating_targets(table, kind).labels.double().numpy()
        np.testing.assert_allclose(ratings.score(labels), table.scores(), atol=1e-3)
    raters = rating_targets(table).labels
    assert raters[0].tolist() == [0, 1, 0, 0, 0]
    assert raters[2].tolist() == [0, 0, 0.5, 0, 0.5]
    hard = rating_targets(table, "hard").labels
    assert hard.sum() == 3 and set(hard.flatten().tolist()) == {0, 1}
    np.testing.assert_allclose(rating_targets(table).stds, [14, 20, 25], atol=1e-4)


def test_a_batch_pads_tokens_on_the_left_and_images_at_the_end():
    rows = [
        {"input_ids": torch.tensor([[1, 2]]), "pixel_values": torch.ones(1, 2, 2)},
        {"input_ids": torch.tensor([[3]]), "pixel_values": torch.ones(2, 1, 2)},
    ]
    batch = pad_batch(rows, pad=9)
    assert batch["input_ids"].tolist() == [[1, 2], [9, 3]]
    assert batch["pixel_values"].shape == (3, 2, 2)
    assert batch["pixel_values"][1].tolist() == [[1, 1], [0, 0]]


def test_rows_are_encoded_once(fresh, table, monkeypatch):
    assessor = fresh()
    examples = RatingDataset(assessor, table, rating_targets(table), [1])
    first = examples[0]
    assert examples[0] is first
    monkeypatch.setattr(dataset, "CACHE_BYTES", 0)
    small = RatingDataset(assessor, table, rating_targets(table), [1])
    assert small[0] is not small[0]
    image = tiny.images(1)[0]
    assert encode_row(assessor, image, assessor.rater.prompt_text())["input_ids"].device.type == "cpu"
