"""A finetuning job: trained, killed and resumed, measured, loaded by its path."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import TrainerCallback, TrainerState

from vlm_aes.assessor import Assessor
from vlm_aes.errors import CheckpointError, TrainingError
from vlm_aes.models.nano import NANO
from vlm_aes.training.dataset import RatingDataset, collate_ratings, rating_targets
from vlm_aes.training.job import FinetuneJob
from vlm_aes.training.lora import vision_modules
from vlm_aes.training.trainer import RatingModel, TrainingConfig, last_whole_step

QUICK = TrainingConfig(epochs=2, batch_size=8, rank=4, alpha=8)
pytestmark = pytest.mark.usefixtures("few_draws")


def test_full_training_leaves_the_vision_tower_alone(fresh, table, tiny_checkpoint, tmp_path):
    config = replace(QUICK, full=True, smoke=True, learning_rate=1e-3)
    FinetuneJob(table, tmp_path / "mine", config, model=tiny_checkpoint("fast_vlm")).run()
    old, new = fresh(), Assessor.from_pretrained(tmp_path / "mine")
    pair = [a.rater.backbone.model.state_dict() for a in (old, new)]
    changed = {name for name in pair[0] if not torch.equal(pair[0][name], pair[1][name])}
    assert changed and not any("vision_tower" in n or "projector" in n for n in changed)
    assert not (tmp_path / "mine" / "adapter_config.json").exists()
    assert len(vision_modules(old.rater.backbone.model)) == 2


def test_running_statistics_stay(fresh, table):
    assessor = fresh()
    assessor.rater.backbone.model.requires_grad_(True)
    model = RatingModel(assessor, QUICK).train()
    before = {k: v.clone() for k, v in assessor.rater.backbone.model.named_buffers()}
    examples = RatingDataset(assessor, table, rating_targets(table), range(4))
    model(**collate_ratings([examples[i] for i in range(4)], 0))["loss"].backward()
    assert all(torch.equal(v, before[k]) for k, v in assessor.rater.backbone.model.named_buffers())
    assert not model.state_dict().keys() - {n for n, _ in model.named_parameters()}
    with pytest.raises(ValueError, match="not the weights of the same training"):
        model.load_state_dict({"a": torch.zeros(1)})


class Killed(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def add_incomplete_steps(steps):
    """Later steps that were being saved when the training was killed."""
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
        TrainerState(global_step=number).save_to_json(str(steps / f"checkpoint-{number}" / "trainer_state.json"))
    assert last_whole_step(steps) == steps / "checkpoint-10"
    add_incomplete_steps(steps)
    assert last_whole_step(steps) == steps / "checkpoint-10"
    assert len(list(steps.iterdir())) == 2


def test_killed_and_resumed_is_the_same(table, tiny_checkpoint, tmp_path):
    def job(name, **options):
        config = replace(QUICK, learning_rate=5e-3, epochs=3)
        model = tiny_checkpoint("fast_vlm")
        return FinetuneJob(table, tmp_path / name, config, model=model, **options)

    whole = job("whole").run()
    with pytest.raises(KeyboardInterrupt):
        job("broken").run(callbacks=[Killed(12)])
    assert not (tmp_path / "broken").exists()
    with pytest.raises(TrainingError, match=r"broken.part holds an unfinished training; --resume"):
        job("broken").run()
    other = replace(job("broken", resume=True), config=replace(QUICK, epochs=1))
    with pytest.raises(TrainingError, match=r"another training \(recipe differ\)"):
        other.run()
    add_incomplete_steps(tmp_path / "broken.part" / "steps")
    resumed = job("broken", resume=True).run()
    # the search for a logistic ends in other last digits from run to run
    assert resumed.plcc_fitted.value == pytest.approx(whole.plcc_fitted.value, abs=1e-6)
    assert replace(resumed, plcc_fitted=None) == replace(whole, plcc_fitted=None)
    assert not (tmp_path / "broken.part").exists()
    sources = [table.source(i) for i in range(5)]
    models = [Assessor.from_pretrained(tmp_path / name) for name in ("whole", "broken")]
    first, second = ([a.score for a in model.assess(sources, facts=False)] for model in models)
    assert first == second
    with pytest.raises(TrainingError, match="whole exists; take another --out, or --overwrite"):
        job("whole").run()


def test_ended_by_the_system_and_resumed_is_the_same(shoot, tiny_checkpoint, tmp_path):
    """SIGKILL, of the command itself, at a moment that chance chooses."""
    model = tiny_checkpoint("fast_vlm")
    options = ["--images", shoot, "--model", model, "--epochs", 6, "--batch-size", 4, "--lora-rank", 4]
    command = [sys.executable, "-m", "vlm_aes.cli", "finetune", shoot / "r.csv", *options]

    def run(name, *more):
        words = [str(word) for word in (*command, "--out", tmp_path / name, *more)]
        return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

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
    first, second = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "broken"))
    assert second["curve"][-1]["step"] == first["curve"][-1]["step"]
    for name, figure in first["figures"].items():
        if name != "plcc_fitted":  # the search for a logistic ends in other last digits
            assert second["figures"][name] == figure, name


def test_adapters_of_nano_learn_brightness_and_load_by_their_path(table, tmp_path):
    """Brightness is what these raters like, and nano's adapters learn it."""
    out = tmp_path / "my-model"
    said = []
    config = TrainingConfig(epochs=10, batch_size=8, learning_rate=3e-3, seed=1)
    job = FinetuneJob(table, out, config, terms="made up", validation=0.5, test=0.2)
    report = job.run(say=said.append)
    assert report.srcc.value > 0.6
    assert said[0] == "24 train, 40 validation, 16 test images"
    moved = tmp_path / "elsewhere" / "my-model"
    moved.parent.mkdir()
    shutil.move(out, moved)
    assessor = Assessor.from_pretrained(moved)
    a = assessor.assess(table.source(0))
    assert assessor.prompt.id == Assessor.from_pretrained(NANO).prompt.id
    assert a.score_low <= a.score_high and a.percentile is not None
    card = (moved / "README.md").read_text()
    for text in (
        "r.csv", "made up", "research, non-commercial", assessor.model_id, assessor.prompt_id, str(report.srcc),
        "its base, untouched", "24 images to train on, 40 to choose",
    ):  # fmt: skip
        assert text in card, text
    kept = json.loads((moved / "training.json").read_text())
    assert kept["table"]["scale"] == [1, 5]
    assert kept["model"] == assessor.model_id
    assert kept["figures"]["srcc"] == report.as_json()["srcc"]
    with pytest.raises(TrainingError, match="is an adapter itself"):
        FinetuneJob(table, tmp_path / "more", config, model=moved).run()


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({"full": True}, {"quantize": "4bit"}, "leave --quantize out"),
        ({}, {"resume": True, "overwrite": True}, "exclude each other"),
        ({"labels": "soft"}, {}, "--labels soft: choose one of raters, gaussian"),
        ({}, {"quantize": "2bit"}, "--quantize 2bit: choose 4bit or 8bit"),
        ({}, {"fast": True, "quantize": "4bit"}, "leave --full and --quantize out"),
        ({}, {"model": "nowhere"}, "nowhere"),
    ],
)
def test_a_job_that_cannot_be_done_says_so_and_writes_nothing(config, options, message, table, tmp_path):
    with pytest.raises((TrainingError, CheckpointError), match=message):
        FinetuneJob(table, tmp_path / "x", replace(QUICK, **config), **options).run()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["llava", "qwen3_5"])
def test_adapters_train_on_four_bits(family, tiny_checkpoint, table, tmp_path):
    pytest.importorskip("bitsandbytes")
    model = tiny_checkpoint(family, hidden=64)
    config = replace(QUICK, smoke=True, learning_rate=0.02)
    assert FinetuneJob(table, tmp_path / "mine", config, model=model, quantize="4bit").run() is not None
    kept = json.loads((tmp_path / "mine" / "training.json").read_text())
    assert kept["recipe"]["quantize"] == "4bit"
    assert ":4bit" in kept["base"]
