"""The recipe of nano 1.0: its split, its losses, and a tower that is saved and loaded again."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from finetune.nano import data, losses, tokenizer, tower
from finetune.nano.loop import Schedule, rate_factor
from finetune.nano.train_fast import FastTowerWithHeads
from vlm_aes.models.heads.efficientnet_lite import EfficientNetLiteConfig, EfficientNetLiteModel
from vlm_aes.models.nano.tower import OUTPUT_LAYERS, NanoHeads

LABELS = {name: list("abc") for name in ("scene", "tags", "words", "works", "hurts", "advice")}
SIZES = {"rating": 9, "attributes": 7, "emotions": 8, "degradations": 10, "strength": 10}
SCALARS = ("mean", "trust", "para_quality", "technical", "tilt")
NAMING = ("scene", "main", "advice", "works", "hurts", "tags", "words")


def random_target(n):
    target = {name: torch.rand(n) for name in SCALARS}
    target |= {name: torch.rand(n, SIZES.get(name, 3)).softmax(1) for name in (*SIZES, *NAMING)}
    target["trust"][:] = 1
    for name in (*NAMING, "attributes", "technical", "degradations"):
        target[name][::2] = torch.nan
    return target


@pytest.mark.parametrize(("pack", "validation"), [("para", 200), ("biq", 400), ("flickr8k", 0)])
def test_the_split_is_a_hash_of_the_image_id(pack, validation):
    splits = [data.split_of(pack, f"photo{i}") for i in range(2000)]
    assert splits.count("validation") == pytest.approx(validation, abs=60)
    assert splits.count("tuning") == pytest.approx(100, abs=40) and data.split_of(pack, "2") == "tuning"


def test_losses_are_finite_with_unknown_targets_and_fall_in_training():
    torch.manual_seed(0)
    heads, target, pairs = NanoHeads(LABELS | tower.ALL_LABELS).eval(), random_target(6), torch.tensor([[0, 1], [2, 3]])
    layers = {number: torch.randn(6, 5, 384) for number in OUTPUT_LAYERS}
    optimizer, values = torch.optim.AdamW(heads.parameters(), lr=1e-3), []
    for _ in range(8):
        loss = losses.weighted_sum(losses.task_losses(heads(layers)[0], target, pairs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert np.isfinite(values).all() and values[-1] < 0.8 * values[0]


def test_the_fast_tower_learns_the_tasks_of_the_tower():
    torch.manual_seed(0)
    model = FastTowerWithHeads(LABELS, EfficientNetLiteModel(EfficientNetLiteConfig()))
    outputs, expected = model(torch.randn(2, 3, 64, 64)), tower.TowerWithHeads(LABELS, pretrained=False)
    assert {n: o.shape for n, o in outputs.items()} == {
        n: o.shape for n, o in expected(torch.randn(2, 3, 196, 196)).items()
    }
    losses.weighted_sum(losses.task_losses(outputs, random_target(2), torch.tensor([[0, 1]]))).backward()
    assert all(p.grad is not None for p in model.tower.parameters())


def test_a_saved_tower_gives_equal_outputs(tmp_path):
    model = tower.TowerWithHeads(LABELS, pretrained=False).eval()
    model.load_state_dict({name: t.half().float() for name, t in model.state_dict().items()})
    tower.save(model, tmp_path, step=1)
    image = torch.randn(1, 3, 196, 196)
    with torch.inference_mode():
        outputs = model(image)
        assert all(torch.equal(output, outputs[name]) for name, output in tower.load(tmp_path)(image).items())
        assert model(image, patches=50)["rating"].shape == (1, 9)


def test_the_learning_rate_ends_with_the_time():
    assert Schedule("00:00").advance() == 1
    assert rate_factor(0, 0) == pytest.approx(0.01) and rate_factor(500, 1) == pytest.approx(0.02)


def test_a_reduced_tokenizer_splits_kept_texts_as_before():
    full = Tokenizer(models.BPE())
    full.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    full.train_from_iterator(
        ["the fox sees a quiet lake while the hen hides"] * 9 + ["zebras gaze over dunes"] * 4,
        trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
    )
    state, kept = tokenizer.reduced(json.loads(full.to_str()), [" the fox hides"], common_merges=3)
    small = Tokenizer.from_str(json.dumps(state))
    assert small.get_vocab_size() == len(kept) + 1 < full.get_vocab_size()
    assert [kept[i] for i in small.encode(" the fox hides").ids] == full.encode(" the fox hides").ids
    assert len(small.encode(" zebras").ids) > len(full.encode(" zebras").ids)
    assert small.encode("<image> the").ids[0] == len(kept)
