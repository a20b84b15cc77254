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


def training_of(folder):
    return json.loads((folder / "training.json").read_text())


def test_full_training_leaves_the_vision_tower_alone(fresh, table, tiny_checkpoint, tmp_path):
    config = replace(QUICK, full=True, smoke=True, learning_rate=1e-3)
    FinetuneJob(table, tmp_path / "mine", config, model=tiny_checkpoint("fast_vlm")).run()
    old, new = (a.rater.backbone.model for a in (fresh(), Assessor.from_pretrained(tmp_path / "mine")))
    before, after = old.state_dict(), new.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any("vision_tower" in n or "projector" in n for n in changed)
    assert not (tmp_path / "mine" / "adapter_config.json").exists()
    assert len(vision_modules(old)) == 2


def test_running_statistics_stay(fresh, table):
    assessor = fresh()
    network = assessor.rater.backbone.model.requires_grad_(True)
    model = RatingModel(assessor, QUICK).train()
    before = {k: v.clone() for k, v in network.named_buffers()}
    examples = RatingDataset(assessor, table, rating_targets(table), range(4))
    model(**collate_ratings([examples[i] for i in range(4)], 0))["loss"].backward()
    assert all(torch.equal(v, before[k]) for k, v in network.named_buffers())
    assert not model.state_dict().keys() - {n for n, _ in model.named_parameters()}
    with pytest.raises(ValueError, match="not the weights of the same training"):
        model.load_state_dict({"a": torch.zeros(1)})


class Killed(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 12:
            raise KeyboardInterrupt


def add_incomplete_steps(steps):
    """Later steps that were being saved when the training was killed."""
    last = max(steps.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    for number, state in ((900, ""), (901, '{"epoch": 2.0, "log_his'), (902, None)):
        file = shutil.copytree(last, steps / f"checkpoint-{number}") / "trainer_state.json"
        file.unlink() if state is None else file.write_text(state)


def test_the_last_whole_step(tmp_path):
    assert last_whole_step(tmp_path / "none") is None
    for number in (9, 10):
        (tmp_path / f"checkpoint-{number}").mkdir()
        TrainerState(global_step=number).save_to_json(str(tmp_path / f"checkpoint-{number}" / "trainer_state.json"))
    assert last_whole_step(tmp_path) == tmp_path / "checkpoint-10"
    add_incomplete_steps(tmp_path)
    assert last_whole_step(tmp_path) == tmp_path / "checkpoint-10"
    assert len(list(tmp_path.iterdir())) == 2


def test_killed_and_resumed_is_the_same(table, tiny_checkpoint, tmp_path):
    def job(name, epochs=3, **options):
        config, model = replace(QUICK, learning_rate=5e-3, epochs=epochs), tiny_checkpoint("fast_vlm")
        return FinetuneJob(table, tmp_path / name, config, model=model, **options)

    whole = job("whole").run()
    with pytest.raises(KeyboardInterrupt):
        job("broken").run(callbacks=[Killed()])
    assert not (tmp_path / "broken").exists()
    with pytest.raises(TrainingError, match=r"broken.part holds an unfinished training; --resume"):
        job("broken").run()
    with pytest.raises(TrainingError, match=r"another training \(recipe differ\)"):
        job("broken", epochs=1, resume=True).run()
    add_incomplete_steps(tmp_path / "broken.part" / "steps")
    resumed = job("broken", resume=True).run()
    # the search for a logistic ends in other last digits from run to run
    assert resumed.plcc_fitted.value == pytest.approx(whole.plcc_fitted.value, abs=1e-6)
    assert replace(resumed, plcc_fitted=None) == replace(whole, plcc_fitted=None)
    assert not (tmp_path / "broken.part").exists()
    models = [Assessor.from_pretrained(tmp_path / name) for name in ("whole", "broken")]
    first, second = ([a.score for a in m.assess(list(map(table.source, range(5))), facts=False)] for m in models)
    assert first == second
    with pytest.raises(TrainingError, match="whole exists; take another --out, or --overwrite"):
        job("whole").run()


def test_ended_by_the_system_and_resumed_is_the_same(shoot, tiny_checkpoint, tmp_path):
    """SIGKILL, of the command itself, at a moment that chance chooses; the table holds ratings alone."""
    table, lines = tmp_path / "r.csv", (shoot / "r.csv").read_text().splitlines()
    table.write_text("\n".join(line.rsplit(",", 2)[0] for line in lines[:41]))
    options = ["--images", shoot, "--model", tiny_checkpoint("fast_vlm")]
    options += ["--epochs", 4, "--batch-size", 4, "--lora-rank", 4]

    def start(name, *more):
        words = [sys.executable, "-m", "vlm_aes.cli", "finetune", table, *options, "--out", tmp_path / name]
        streams = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
        return subprocess.Popen([str(word) for word in (*words, *more)], **streams)

    whole = start("whole")
    assert whole.wait() == 0, whole.stderr.read()
    broken, chance = start("broken"), np.random.default_rng()
    lines = int(chance.integers(1, 3))
    for line in broken.stderr:
        lines -= line.startswith("step ")
        if not lines:
            break
    time.sleep(chance.uniform(0, 0.3))
    broken.send_signal(signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    assert not (tmp_path / "broken").exists()
    resumed = start("broken", "--resume")
    assert resumed.wait() == 0, resumed.stderr.read()
    first, second = (training_of(tmp_path / name) for name in ("whole", "broken"))
    assert second["curve"][-1]["step"] == first["curve"][-1]["step"]
    for name in first["figures"].keys() - {"plcc_fitted"}:  # the search for a logistic ends in other last digits
        assert second["figures"][name] == first["figures"][name], name


def test_adapters_of_nano_learn_brightness_and_load_by_their_path(table, tmp_path):
    out, moved, said = tmp_path / "my-model", tmp_path / "elsewhere" / "my-model", []
    config = TrainingConfig(epochs=6, batch_size=8, learning_rate=3e-3, seed=1)
    report = FinetuneJob(table, out, config, terms="made up", validation=0.5, test=0.2).run(say=said.append)
    assert report.srcc.value > 0.6
    assert said[0] == "24 train, 40 validation, 16 test images"
    moved.parent.mkdir()
    shutil.move(out, moved)
    assessor = Assessor.from_pretrained(moved)
    a = assessor.assess(table.source(0))
    assert assessor.prompt.id == Assessor.from_pretrained(NANO).prompt.id
    assert a.score_low <= a.score_high and a.percentile is not None
    card = (moved / "README.md").read_text()
    texts = ["r.csv", "made up", "research, non-commercial", assessor.model_id, assessor.prompt_id, str(report.srcc)]
    texts += ["its base, untouched", "24 images to train on, 40 to choose"]
    assert not [text for text in texts if text not in card]
    kept = training_of(moved)
    assert (kept["table"]["scale"], kept["model"]) == ([1, 5], assessor.model_id)
    assert kept["figures"]["srcc"] == report.as_json()["srcc"]
    assert max(line.get("eval_srcc", 0) for line in kept["curve"]) > 0.6, "without the ridge"
    with pytest.raises(TrainingError, match="is an adapter itself"):
        FinetuneJob(table, tmp_path / "more", config, model=moved).run()


def test_a_job_that_cannot_be_done_says_so_and_writes_nothing(table, tmp_path):
    for config, options, message in (
        ({"full": True}, {"quantize": "4bit"}, "leave --quantize out"),
        ({}, {"resume": True, "overwrite": True}, "exclude each other"),
        ({"labels": "soft"}, {}, "--labels soft: choose one of raters, gaussian"),
        ({}, {"quantize": "2bit"}, "--quantize 2bit: choose 4bit or 8bit"),
        ({}, {"fast": True, "quantize": "4bit"}, "leave --full and --quantize out"),
        ({}, {"model": "nowhere"}, "nowhere"),
    ):
        with pytest.raises((TrainingError, CheckpointError), match=message):
            FinetuneJob(table, tmp_path / "x", replace(QUICK, **config), **options).run()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["llava", "qwen3_5"])
def test_adapters_train_on_four_bits(family, tiny_checkpoint, table, tmp_path):
    pytest.importorskip("bitsandbytes")
    config, model = replace(QUICK, smoke=True, learning_rate=0.02), tiny_checkpoint(family, hidden=64)
    assert FinetuneJob(table, tmp_path / "mine", config, model=model, quantize="4bit").run() is not None
    kept = training_of(tmp_path / "mine")
    assert kept["recipe"]["quantize"] == "4bit"
    assert ":4bit" in kept["base"]
