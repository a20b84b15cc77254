"""Training on ratings: what is asked, what is trained, what comes back from the folder."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from tests import tiny_checkpoints as tiny
import torch
from transformers import TrainerCallback, TrainerState

from vlm_aes.assessor import NANO, Assessor
from vlm_aes.errors import CheckpointError, TrainingError
from vlm_aes.models.vlm.rater import Rater
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import RatedTable, Rating, read_ratings
from vlm_aes.stats import metrics
from vlm_aes.training import losses
from vlm_aes.training.adapters import eyes, linear_targets, text_model, with_lora
from vlm_aes.training.call import Call
from vlm_aes.training.examples import (
    IGNORED,
    Collator,
    Examples,
    critique_texts,
    encoded,
    joined,
)
from vlm_aes.training.recipe import finetune
from vlm_aes.training.survey import survey
from vlm_aes.training.targets import targets
from vlm_aes.training.training import RatingModel, Recipe, last_whole_step, train

N = 80
QUICK = Recipe(epochs=2, batch_size=8, rank=4, alpha=8)


@pytest.fixture(scope="module")
def shoot(tmp_path_factory):
    """Bright pictures are liked, dark ones are not."""
    folder = tmp_path_factory.mktemp("shoot")
    rng = np.random.default_rng(0)
    lines = ["path,rating,std,critique"]
    for i, image in enumerate(tiny.pictures(N, seed=3)):
        level = rng.uniform(0.1, 1)
        image.point(lambda x, level=level: x * level).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{1 + 4 * level:.3f},0.5,{'too dark' if i % 3 == 0 else ''}")
    (folder / "r.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def table(shoot):
    return read_ratings(shoot / "r.csv", shoot)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Intervals are tested elsewhere; here they only cost time."""
    monkeypatch.setattr(metrics, "bootstrap", partial(metrics.bootstrap, draws=20))


@pytest.fixture
def fresh(tiny_checkpoint):
    return lambda family="fast_vlm": Assessor.from_pretrained(tiny_checkpoint(family))


def family_or_skip(family):
    if family == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    return family


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_training_asks_what_inference_asks(family, fresh, table, monkeypatch):
    """Token for token, pixel for pixel: rows that were encoded alone and joined are the batch that
    rating and criticising encode."""
    assessor = fresh(family_or_skip(family))
    examples = Examples(assessor, table, targets(table), range(4))
    batch = Collator(assessor.rater.backbone.tokenizer.pad_token_id)(
        [examples[i] for i in range(4)]
    )
    seen = []
    hidden = assessor.rater.backbone.last_hidden
    monkeypatch.setattr(assessor.rater.backbone, "last_hidden",
                        lambda inputs: seen.append(inputs) or hidden(inputs))  # fmt: skip
    assessor.assess([table.source(i) for i in range(4)], facts=False)
    assert set(seen[0]) == set(batch["rating"])
    for name, wanted in seen[0].items():
        assert torch.equal(batch["rating"][name], wanted), name
    assert torch.equal(batch["labels"][2].double(), torch.tensor(
        ratings.soft_label(table.ratings[2].mean, 0.5)).float().double())  # fmt: skip


def test_critiques_are_asked_for_as_at_inference(fresh, table, monkeypatch):
    assessor = fresh()
    example = Examples(assessor, table, targets(table), [3])[0]
    written = []
    generate = assessor.critic.backbone.generate
    monkeypatch.setattr(
        assessor.critic.backbone, "generate",
        lambda images, texts, *a, **k: written.append(texts) or generate(images, texts, *a, **k),
    )  # fmt: skip
    a = assessor.assess(table.source(3), rationale=True)
    asked, text = critique_texts(assessor, "FACTS", a.score, a.level, "too dark")
    assert text.startswith(asked)
    line = written[0][0].split("Measured:")[1].split("\n")[0]
    again, _ = critique_texts(assessor, "Measured:" + line, a.score, a.level, "too dark")
    assert again == written[0][0]
    tokenizer = assessor.rater.backbone.tokenizer
    ids = example.critique["input_ids"][0, -example.answer :]
    assert tokenizer.decode(ids).strip() == "too dark" + tokenizer.eos_token
    batch = Collator(0)([example, Examples(assessor, table, targets(table), [4])[0]])
    assert batch["answers"].shape == batch["critique"]["input_ids"].shape
    assert (batch["answers"] != IGNORED).sum() == example.answer


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_learns_and_comes_back(family, fresh, tiny_checkpoint, table, tmp_path):
    """Adapters on each family: trained, saved, read back merged, the same scores as unmerged."""
    from vlm_aes.prompts import prompt_file
    from vlm_aes.training.checkpoint import save_adapter

    assessor = fresh(family_or_skip(family))
    sources = [table.source(i) for i in range(6)]
    before = [a.score for a in assessor.assess(sources, facts=False)]
    network = with_lora(assessor.rater.backbone.model, rank=4, alpha=8, dropout=0.0, tower=False)
    trained = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    wanted = targets(table)
    curve = train(assessor, Examples(assessor, table, wanted, range(10)),
                  Examples(assessor, table, wanted, range(10, 16)),
                  replace(QUICK, smoke=True, learning_rate=0.02), tmp_path / "steps")  # fmt: skip
    assert any("eval_srcc" in line for line in curve)
    unmerged = [a.score for a in assessor.assess(sources, facts=False)]
    model = tiny_checkpoint(family)
    save_adapter(network, model, prompt_file(model), tmp_path / "made")
    back = Assessor.from_pretrained(tmp_path / "made")
    merged = [a.score for a in back.assess(sources, facts=False)]
    np.testing.assert_allclose(merged, unmerged, atol=1e-3)
    assert np.abs(np.array(merged) - before).max() > 0.01
    assert back.model_id != assessor.model_id


def test_targets_are_found_by_where_they_stand(fresh):
    network = fresh("qwen3_5").rater.backbone.model
    words = {n for n, m in text_model(network).named_modules() if isinstance(m, torch.nn.Linear)}
    found = linear_targets(network, tower=False)
    assert {n.removeprefix("model.language_model.") for n in found} == words
    assert any("in_proj" in n for n in found)
    assert "lm_head" not in found
    tower = set(linear_targets(network, tower=True)) - set(found)
    assert tower and all(n.startswith("model.visual") for n in tower)
    convolutions = linear_targets(fresh("fast_vlm").rater.backbone.model, tower=True)
    assert any("vision_tower" in n and "convolution" in n for n in convolutions)
    with pytest.raises(ValueError, match="no language model"):
        text_model(SimpleNamespace(model=torch.nn.Linear(1, 1)))


def test_full_training_leaves_the_eyes_unless_told(fresh, table, tiny_checkpoint, tmp_path):
    call = Call(table, tmp_path / "mine", replace(QUICK, full=True, smoke=True,
                learning_rate=1e-3), model=tiny_checkpoint("fast_vlm"))  # fmt: skip
    finetune(call)
    old, new = fresh(), Assessor.from_pretrained(tmp_path / "mine")
    pair = [a.rater.backbone.model.state_dict() for a in (old, new)]
    changed = {name for name in pair[0] if not torch.equal(pair[0][name], pair[1][name])}
    assert changed and not any("vision_tower" in n or "projector" in n for n in changed)
    assert not (tmp_path / "mine" / "adapter_config.json").exists()
    assert [len(eyes(old.rater.backbone.model))] == [2]


def test_running_statistics_stay(fresh, table):
    assessor = fresh()
    assessor.rater.backbone.model.requires_grad_(True)
    model = RatingModel(assessor, QUICK).train()
    before = {k: v.clone() for k, v in assessor.rater.backbone.model.named_buffers()}
    examples = Examples(assessor, table, targets(table), range(4))
    batch = Collator(0)([examples[i] for i in range(4)])
    out = model(**batch)
    out["loss"].backward()
    assert all(torch.equal(v, before[k])
               for k, v in assessor.rater.backbone.model.named_buffers())  # fmt: skip
    alone = Rater(assessor.rater.backbone, assessor.prompt)
    model.eval()
    rated = ratings.score(alone.rate([tiny.pictures(N, seed=3)[0]])[:, 0])
    assert np.isfinite(rated).all()
    assert not model.state_dict().keys() - {n for n, _ in model.named_parameters()}
    with pytest.raises(ValueError, match="not the weights of the same training"):
        model.load_state_dict({"a": torch.zeros(1)})


class Killed(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def half_kept(steps):
    """Two later steps that were being kept when the training was killed."""
    last = max(steps.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    for number, state in ((900, ""), (901, '{"epoch": 2.0, "log_his')):
        later = shutil.copytree(last, steps / f"checkpoint-{number}")
        (later / "trainer_state.json").write_text(state)
    shutil.copytree(last, steps / "checkpoint-902")
    (steps / "checkpoint-902" / "trainer_state.json").unlink()


def test_the_last_whole_step(tmp_path):
    steps = tmp_path / "steps"
    assert last_whole_step(steps) is None
    for number in (9, 10):
        (steps / f"checkpoint-{number}").mkdir(parents=True)
        TrainerState(global_step=number).save_to_json(
            str(steps / f"checkpoint-{number}" / "trainer_state.json")
        )
    assert last_whole_step(steps) == steps / "checkpoint-10"
    half_kept(steps)
    assert last_whole_step(steps) == steps / "checkpoint-10"
    assert len(list(steps.iterdir())) == 2


def test_killed_and_resumed_is_the_same(table, tiny_checkpoint, tmp_path):
    def call(name, **options):
        recipe = replace(QUICK, learning_rate=5e-3, epochs=3)
        return Call(table, tmp_path / name, recipe, model=tiny_checkpoint("fast_vlm"), **options)

    whole = finetune(call("whole"))
    with pytest.raises(KeyboardInterrupt):
        finetune(call("broken"), callbacks=[Killed(12)])
    assert not (tmp_path / "broken").exists()
    with pytest.raises(TrainingError, match=r"broken.part holds an unfinished training; --resume"):
        finetune(call("broken"))
    other = replace(call("broken", resume=True), recipe=replace(QUICK, epochs=1))
    with pytest.raises(TrainingError, match=r"another training \(recipe differ\)"):
        finetune(other)
    half_kept(tmp_path / "broken.part" / "steps")
    resumed = finetune(call("broken", resume=True))
    # the search for a logistic ends in other last digits from run to run
    assert resumed.plcc_fitted.value == pytest.approx(whole.plcc_fitted.value, abs=1e-6)
    assert replace(resumed, plcc_fitted=None) == replace(whole, plcc_fitted=None)
    assert not (tmp_path / "broken.part").exists()
    scores = [
        [a.score for a in Assessor.from_pretrained(tmp_path / name).assess(
            [table.source(i) for i in range(5)], facts=False)]
        for name in ("whole", "broken")
    ]  # fmt: skip
    assert scores[0] == scores[1]
    with pytest.raises(TrainingError, match="whole exists; take another --out, or --overwrite"):
        finetune(call("whole"))


def test_ended_by_the_system_and_resumed_is_the_same(shoot, tiny_checkpoint, tmp_path):
    """SIGKILL, of the command itself, at a moment that chance chooses."""
    model = tiny_checkpoint("fast_vlm")
    options = ["--images", shoot, "--model", model, "--epochs", 6, "--batch-size", 4, "--rank", 4]
    command = [sys.executable, "-m", "vlm_aes.cli", "finetune", shoot / "r.csv", *options]

    def run(name, *more):
        return subprocess.Popen(
            [str(word) for word in (*command, "--out", tmp_path / name, *more)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    whole = run("whole")
    assert whole.wait() == 0, whole.stderr.read()
    broken = run("broken")
    chance = np.random.default_rng()
    lines = int(chance.integers(2, 6))
    for line in broken.stderr:
        lines -= line.startswith("step ")
        if not lines:
            break
    time.sleep(chance.uniform(0, 0.3))
    broken.send_signal(signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    assert not (tmp_path / "broken").exists()
    resumed = run("broken", "--resume")
    assert resumed.wait() == 0, resumed.stderr.read()
    first, second = (
        json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "broken")
    )
    assert second["curve"][-1]["step"] == first["curve"][-1]["step"]
    for name, figure in first["figures"].items():
        if name != "plcc_fitted":  # the search for a logistic ends in other last digits
            assert second["figures"][name] == figure, name


def test_a_taste_is_learned_on_nano_and_loads_by_its_path(table, tmp_path):
    """Brightness is what these raters like, and nano's adapters learn it."""
    out = tmp_path / "my-taste"
    said = []
    recipe = Recipe(epochs=10, batch_size=8, learning_rate=3e-3, seed=1)
    report = finetune(Call(table, out, recipe, terms="made up", validation=0.5, test=0.2),
                      say=said.append)  # fmt: skip
    assert report.srcc.value > 0.6
    assert said[0] == "24 train, 40 validation, 16 test pictures"
    moved = tmp_path / "elsewhere" / "my-taste"
    moved.parent.mkdir()
    shutil.move(out, moved)
    assessor = Assessor.from_pretrained(moved)
    a = assessor.assess(table.source(0))
    assert assessor.prompt.id == Assessor.from_pretrained(NANO).prompt.id
    assert a.score_low <= a.score_high and a.percentile is not None
    card = (moved / "README.md").read_text()
    for wanted in ("r.csv", "made up", "research, non-commercial", assessor.model_id,
                   assessor.prompt_id, str(report.srcc), "its base, untouched",
                   "24 pictures to train on, 40 to choose"):  # fmt: skip
        assert wanted in card, wanted
    kept = json.loads((moved / "training.json").read_text())
    assert kept["table"]["scale"] == [1, 5]
    assert kept["model"] == assessor.model_id
    assert kept["figures"]["srcc"] == report.as_json()["srcc"]
    with pytest.raises(TrainingError, match="is an adapter itself"):
        finetune(Call(table, tmp_path / "more", recipe, model=moved))


def test_an_adapter_without_calibration_has_no_interval_of_its_base(table, tmp_path):
    from vlm_aes.prompts import prompt_file
    from vlm_aes.stats import calibration
    from vlm_aes.training.checkpoint import save_adapter

    base = tmp_path / "base"
    shutil.copytree(NANO, base)
    assessor = Assessor.from_pretrained(base)
    scores = np.linspace(0, 100, 60)
    calibration.fit(scores, scores[::-1] / 2, prompt=assessor.prompt.id, reference="r").save(base)
    assert Assessor.from_pretrained(base).calibration is not None
    network = with_lora(assessor.rater.backbone.model, rank=2, alpha=4, dropout=0.0, tower=False)
    save_adapter(network, base, prompt_file(base), tmp_path / "mine")
    back = Assessor.from_pretrained(tmp_path / "mine")
    assert back.calibration is None
    assert back.assess(table.source(0)).score_low is None


def test_broken_pictures_versions_and_splits(shoot, tmp_path):
    def named(*rows):
        made = [Rating(i, str(p), float(m), split=s) for i, (p, m, s) in enumerate(rows, 1)]
        return RatedTable("t.csv", made, ratings.FIVE_POINTS, declared=True)

    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    shutil.copy(shoot / "1.png", tmp_path / "copy.png")
    rows = [(shoot / f"{i}.png", 1 + i % 5, "") for i in range(40)]
    extra = [(tmp_path / "broken.png", 3, ""), (tmp_path / "copy.png", 3, "")]
    found = survey(named(*rows, *extra), 0.3, 0.3, 0)
    assert list(found.errors) == [str(tmp_path / "broken.png")]
    assert len(found.table) == 41
    assert (found.duplicates, found.leaked) == (1, 0)
    sides = {r.path: r.split for r in found.table.ratings}
    assert sides[str(tmp_path / "copy.png")] == sides[str(shoot / "1.png")]
    own = [(p, m, "validation" if i < 8 else "train") for i, (p, m, _) in enumerate(rows)]
    kept = survey(named(*own, (tmp_path / "copy.png", 3, "train")), 0.3, 0.3, 0)
    assert kept.leaked == 1
    assert [r.split for r in kept.table.ratings][:9] == ["validation"] * 8 + ["train"]
    with pytest.raises(TrainingError, match="row 41, column split: empty"):
        survey(named(*own, (tmp_path / "copy.png", 3, "")), 0.3, 0.3, 0)
    with pytest.raises(TrainingError, match="40 for train, 0 for validation, 0 for test; at least"):
        survey(named(*rows), 0.0, 0.0, 0)
    with pytest.raises(TrainingError, match="must leave something"):
        survey(named(*rows), 0.5, 0.6, 0)


def test_wrong_calls(table, tmp_path):
    full = replace(QUICK, full=True)
    with pytest.raises(TrainingError, match="cannot go with --quantize"):
        finetune(Call(table, tmp_path / "x", full, quantize="4bit"))
    with pytest.raises(CheckpointError, match="nowhere"):
        finetune(Call(table, tmp_path / "x", QUICK, model="nowhere"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["llava", "qwen3_5"])
def test_adapters_train_on_four_bits(family, tiny_checkpoint, table, tmp_path):
    pytest.importorskip("bitsandbytes")
    model = tiny_checkpoint(family, hidden=64)
    call = Call(table, tmp_path / "mine", replace(QUICK, smoke=True, learning_rate=0.02),
                model=model, quantize="4bit")  # fmt: skip
    assert finetune(call) is not None
    kept = json.loads((tmp_path / "mine" / "training.json").read_text())
    assert kept["recipe"]["quantize"] == "4bit"
    assert ":4bit" in kept["base"]


def test_a_certain_preference_has_a_slope():
    for certain in (0.0, 0.5, 1.0):
        gap = torch.zeros(3, requires_grad=True)
        loss = losses.fidelity(losses.found_preferred(gap), torch.full((3,), certain))
        loss.backward()
        assert torch.isfinite(gap.grad).all()
        assert (torch.sign(gap.grad) == np.sign(0.5 - certain)).all()


def test_targets_mean_what_the_raters_mean():
    made = [Rating(1, "a", 2.0), Rating(2, "b", 3.5, std=0.8),
            Rating(3, "c", 4.0, std=1.0, votes={"x": 5.0, "y": 3.0})]  # fmt: skip
    table = RatedTable("t", made, ratings.FIVE_POINTS, declared=True)
    for kind in ("raters", "gaussian", "two-hot"):
        np.testing.assert_allclose(ratings.score(targets(table, kind).labels.double().numpy()),
                                   table.scores(), atol=1e-3)  # fmt: skip
    raters = targets(table).labels
    assert raters[0].tolist() == [0, 1, 0, 0, 0]
    assert raters[2].tolist() == [0, 0, 0.5, 0, 0.5]
    hard = targets(table, "hard").labels
    assert hard.sum() == 3 and set(hard.flatten().tolist()) == {0, 1}
    np.testing.assert_allclose(targets(table).stds, [14, 20, 25], atol=1e-4)


def test_losses():
    label = torch.tensor([[0.0, 0.2, 0.5, 0.3, 0.0]])
    assert losses.kl(label.clamp_min(1e-9).log(), label).item() == pytest.approx(0, abs=1e-5)
    assert losses.kl(torch.zeros(1, 5), label) > 0.1
    wanted, stds = torch.tensor([20.0, 50.0, 80.0]), torch.full((3,), 14.0)
    right = losses.rank(torch.tensor([-60.0, 50.0, 160.0]), wanted, stds)
    wrong = losses.rank(torch.tensor([160.0, 50.0, -60.0]), wanted, stds)
    assert 0 <= right < 0.1
    assert 0.5 < wrong <= 1
    assert losses.rank(wanted[:1], wanted[:1], stds[:1]) == 0
    found = torch.tensor([30.0, 20.0], requires_grad=True)
    losses.rank(found, torch.tensor([20.0, 60.0]), stds[:2]).backward()
    assert found.grad[0] > 0 > found.grad[1]
    even = losses.preferred(torch.tensor([5.0, 5.0]), torch.zeros(2))
    assert even[0, 1] == 0.5


def test_joining_pads_tokens_left_and_pictures_at_the_end():
    rows = [{"input_ids": torch.tensor([[1, 2]]), "pixel_values": torch.ones(1, 2, 2)},
            {"input_ids": torch.tensor([[3]]), "pixel_values": torch.ones(2, 1, 2)}]  # fmt: skip
    batch = joined(rows, pad=9)
    assert batch["input_ids"].tolist() == [[1, 2], [9, 3]]
    assert batch["pixel_values"].shape == (3, 2, 2)
    assert batch["pixel_values"][1].tolist() == [[1, 1], [0, 0]]


def test_rows_are_encoded_once(fresh, table, monkeypatch):
    assessor = fresh()
    examples = Examples(assessor, table, targets(table), [1])
    first = examples[0]
    assert examples[0] is first
    from vlm_aes.training import examples as module

    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    small = Examples(assessor, table, targets(table), [1])
    assert small[0] is not small[0]
    image = tiny.pictures(1)[0]
    assert encoded(assessor, image, assessor.rater.text())["input_ids"].device.type == "cpu"
