import numpy as np
import pytest
import torch

from tests import tiny_checkpoints as tiny
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.training import dataset
from vlm_aes.training.dataset import RatingDataset, rating_targets
from vlm_aes.training.losses import IGNORED_TOKEN


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_training_asks_what_inference_asks(family, fresh, table, monkeypatch):
    """Token for token, pixel for pixel: rows that were encoded alone and joined are the batch that rating encodes."""
    assessor = fresh(family)
    backbone = assessor.rater.backbone
    examples = RatingDataset(assessor, table, rating_targets(table), range(4))
    batch = dataset.collate_ratings([examples[i] for i in range(4)], backbone.tokenizer.pad_token_id)
    seen, hidden = [], backbone.last_hidden
    monkeypatch.setattr(backbone, "last_hidden", lambda inputs: seen.append(inputs) or hidden(inputs))
    assessor.assess([table.source(i) for i in range(4)], facts=False)
    assert set(seen[0]) == set(batch["rating"])
    for name, wanted in seen[0].items():
        assert torch.equal(batch["rating"][name], wanted), name
    assert torch.equal(batch["labels"][2], torch.tensor(ratings.soft_label(table.ratings[2].mean, 0.5)).float())


def test_critiques_are_asked_for_as_at_inference(fresh, table, monkeypatch):
    assessor = fresh()
    example, other = (RatingDataset(assessor, table, rating_targets(table), [i])[0] for i in (3, 4))
    written, backbone = [], assessor.critic.backbone
    generate = backbone.generate

    def record(images, texts, *rest, **options):
        written.append(texts[0])
        return generate(images, texts, *rest, **options)

    monkeypatch.setattr(backbone, "generate", record)
    a = assessor.assess(table.source(3), rationale=True)
    asked, text = dataset.critique_texts(assessor, "FACTS", a.score, a.level, "too dark")
    assert text.startswith(asked)
    line = "Measured:" + written[0].split("Measured:")[1].split("\n")[0]
    assert dataset.critique_texts(assessor, line, a.score, a.level, "too dark")[0] == written[0]
    tokenizer = assessor.rater.backbone.tokenizer
    ids = example.critique["input_ids"][0, -example.answer_tokens :]
    assert tokenizer.decode(ids).strip() == "too dark" + tokenizer.eos_token
    batch = dataset.collate_ratings([example, other], 0)
    assert batch["answers"].shape == batch["critique"]["input_ids"].shape
    assert (batch["answers"] != IGNORED_TOKEN).sum() == example.answer_tokens


def test_targets_mean_what_the_raters_mean():
    made = [Rating(1, "a", 2.0), Rating(2, "b", 3.5, std=0.8), Rating(3, "c", 4.0, std=1.0, votes={"x": 5.0, "y": 3.0})]
    table = RatingTable("t", made, ratings.FIVE_POINTS, declared=True)
    for kind in ("raters", "gaussian", "two-hot"):
        labels = rating_targets(table, kind).labels.double().numpy()
        np.testing.assert_allclose(ratings.score(labels), table.scores(), atol=1e-3)
    raters, hard = rating_targets(table), rating_targets(table, "hard").labels
    assert raters.labels[0].tolist() == [0, 1, 0, 0, 0] and raters.labels[2].tolist() == [0, 0, 0.5, 0, 0.5]
    assert hard.sum() == 3 and set(hard.flatten().tolist()) == {0, 1}
    np.testing.assert_allclose(raters.stds, [14, 20, 25], atol=1e-4)


def test_rows_are_encoded_once_and_a_batch_pads_tokens_on_the_left_and_images_at_the_end(fresh, table, monkeypatch):
    assessor = fresh()
    examples, small = (RatingDataset(assessor, table, rating_targets(table), [1]) for _ in range(2))
    assert examples[0] is examples[0]
    monkeypatch.setattr(dataset, "CACHE_BYTES", 0)
    assert small[0] is not small[0]
    row = dataset.encode_row(assessor, tiny.images(1)[0], assessor.rater.prompt_text())
    assert row["input_ids"].device.type == "cpu"
    rows = [([[1, 2]], torch.ones(1, 2, 2)), ([[3]], torch.ones(2, 1, 2))]
    batch = dataset.pad_batch([{"input_ids": torch.tensor(ids), "pixel_values": pixels} for ids, pixels in rows], pad=9)
    assert batch["input_ids"].tolist() == [[1, 2], [9, 3]]
    assert batch["pixel_values"].shape == (3, 2, 2)
    assert batch["pixel_values"][1].tolist() == [[1, 1], [0, 0]]
