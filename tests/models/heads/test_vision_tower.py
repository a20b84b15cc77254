"""Vision towers: any that AutoModel loads, and the one inside a checkpoint."""

import pytest
import torch
import transformers as t
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from tests import tiny_checkpoints as tiny
from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads.vision_tower import checkpoint_tower, load_tower
from vlm_aes.models.vlm import load_backbone

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
TEXT = {**SMALL, "vocab_size": 64}
TOWERS = {
    "siglip": (lambda: t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=VISION)),
               tiny.siglip_processor(32)),
    "siglip2": (lambda: t.Siglip2VisionModel(t.Siglip2VisionConfig(**SMALL, patch_size=8, num_patches=16)),
                Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)),
    "clip": (lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**VISION)), tiny.clip_processor(32)),
    "dinov2": (lambda: t.Dinov2Model(t.Dinov2Config(**VISION)), tiny.clip_processor(32)),
}  # fmt: skip


def build_tower(kind, folder):
    """A tiny random tower, with the text tower where its family has one."""
    torch.manual_seed(0)
    make, processor = TOWERS[kind]
    make().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", TOWERS)
def test_an_image_has_the_same_embedding_alone_and_in_a_batch(kind, tmp_path):
    tower = load_tower(build_tower(kind, tmp_path))
    pixels = [tower.pixels(image) for image in tiny.images(5)]
    together = tower.embed(pixels)
    assert torch.isfinite(together).all() and together.std(0).mean() > 0
    for i, one in enumerate(pixels):
        torch.testing.assert_close(tower.embed([one])[0], together[i], atol=1e-5, rtol=1e-4)
    assert load_tower(tmp_path).identity == tower.identity


def test_the_own_tower_is_that_of_the_checkpoint(tiny_checkpoint):
    folder = tiny_checkpoint("fast_vlm")
    tower = checkpoint_tower(folder)
    pixels = tower.pixels(tiny.images(1)[0])
    with torch.no_grad():
        expected = load_backbone(folder).model.model.vision_tower(**pixels).last_hidden_state
    torch.testing.assert_close(tower.model(**pixels).last_hidden_state, expected)


def test_a_tower_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for load, reason in ((load_tower, "cannot be loaded as a vision tower"), (checkpoint_tower, "name a --tower")):
        with pytest.raises(CheckpointError, match=reason):
            load(tmp_path)
