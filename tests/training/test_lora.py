import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests import tiny_checkpoints as tiny
from vlm_aes.assessor import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.models.nano import NANO
from vlm_aes.prompts import prompt_file
from vlm_aes.stats import calibration
from vlm_aes.training.checkpoint import save_adapter
from vlm_aes.training.lora import language_model, linear_targets, with_lora
from vlm_aes.training.merge import merge
from vlm_aes.training.objective import objective_for
from vlm_aes.training.trainer import TrainingConfig, train

SMOKE = TrainingConfig(batch_size=8, rank=4, alpha=8, smoke=True, learning_rate=0.02)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_learns_and_comes_back(family, fresh, tiny_checkpoint, table, tmp_path):
    """Adapters on each family: trained, saved, read back merged, the same scores as unmerged."""

    def scores(assessor):
        return np.array([a.score for a in assessor.assess([table.source(i) for i in range(6)], facts=False)])

    assessor = fresh(family)
    before = scores(assessor)
    network = with_lora(assessor.rater.backbone.model, rank=4, alpha=8, dropout=0.0, tower=False)
    trained = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    objective = objective_for(table, validation=0.1, test=0.7, config=SMOKE)
    assert any("eval_srcc" in line for line in train(assessor, objective, SMOKE, tmp_path / "steps"))
    model = tiny_checkpoint(family)
    save_adapter(network, model, prompt_file(model), tmp_path / "made")
    back = Assessor.from_pretrained(tmp_path / "made")
    merged = scores(back)
    np.testing.assert_allclose(merged, scores(assessor), atol=1e-3)
    assert abs(merged - before).max() > 0.01
    assert back.model_id != assessor.model_id


def test_layers_get_an_adapter_by_where_they_stand(fresh):
    network = fresh("qwen3_5").rater.backbone.model
    layers = language_model(network).named_modules()
    found = linear_targets(network, tower=False)
    assert {n.removeprefix("model.language_model.") for n in found} == {
        name for name, module in layers if isinstance(module, torch.nn.Linear)
    }
    assert any("in_proj" in n for n in found) and "lm_head" not in found
    tower = set(linear_targets(network, tower=True)) - set(found)
    assert tower and all(n.startswith("model.visual") for n in tower)
    convolutions = linear_targets(fresh("fast_vlm").rater.backbone.model, tower=True)
    assert any("vision_tower" in n and "convolution" in n for n in convolutions)
    with pytest.raises(ValueError, match="no language model"):
        language_model(SimpleNamespace(model=torch.nn.Linear(1, 1)))


def test_an_adapter_without_calibration_has_no_interval_of_its_base(table, tmp_path):
    base, mine = tmp_path / "base", tmp_path / "mine"
    shutil.copytree(NANO, base)
    assessor = Assessor.from_pretrained(base)
    scores = np.linspace(0, 100, 60)
    calibration.fit(scores, scores[::-1] / 2, prompt=assessor.prompt.id, reference="r").save(base)
    assert Assessor.from_pretrained(base).calibration is not None
    network = with_lora(assessor.rater.backbone.model, rank=2, alpha=4, dropout=0.0, tower=False)
    save_adapter(network, base, prompt_file(base), mine)
    back = Assessor.from_pretrained(mine)
    assert back.calibration is None
    assert back.assess(table.source(0)).score_low is None


def test_a_merged_adapter_is_a_checkpoint_of_its_own_with_the_same_scores(fresh, tiny_checkpoint, table, tmp_path):
    family = "llava"
    network = with_lora(fresh(family).rater.backbone.model, rank=4, alpha=8, dropout=0.0, tower=False)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.2)
    model = tiny_checkpoint(family)
    save_adapter(network, model, prompt_file(model), tmp_path / "made")
    (tmp_path / "made" / "README.md").write_text("a card")
    merge(tmp_path / "made", tmp_path / "whole")
    sources = [table.source(i) for i in range(4)]
    scores = [
        [a.score for a in Assessor.from_pretrained(tmp_path / name).assess(sources, facts=False)]
        for name in ("made", "whole")
    ]
    np.testing.assert_allclose(*scores, atol=1e-3)
    assert not [*(tmp_path / "whole").glob("adapter*")]
    assert (tmp_path / "whole" / "README.md").read_text() == "a card"
    with pytest.raises(CheckpointError, match="no adapter"):
        merge(model, tmp_path / "again")
    assert not (tmp_path / "again").exists()
