"""Writes nano 1.0 as a checkpoint folder: the tower, the projector, and the language model with its adapter merged.

python -m finetune.nano.export_model --tower TOWER --run RUN --out FOLDER
"""

import argparse
from pathlib import Path

import torch
from transformers import LlavaProcessor, SiglipImageProcessorPil

from finetune.nano import dinov2
from finetune.nano.language import HEAD_TOKENS, POOLED_GRID_SIDE, CritiqueModel
from finetune.nano.model import NanoForConditionalGeneration, config_of
from finetune.nano.texts import LEAD, QUESTION, STEM, load_critic
from finetune.nano.tower import TowerWithHeads, load
from vlm_aes import files
from vlm_aes.prompts import CHECKPOINT_PROMPT_FILE

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
critique_tokens = 120
"""


def assembled(tower: TowerWithHeads, critic: CritiqueModel, image_token_id: int) -> NanoForConditionalGeneration:
    """One model made of a trained tower and a trained language model, in float32."""
    language = critic.language.merge_and_unload()
    config = config_of(language.config, dinov2.config(), tower.labels, image_token_id)
    model = NanoForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.tower.state_dict())
    model.model.heads.load_state_dict(tower.heads.state_dict())
    model.model.multi_modal_projector.load_state_dict(critic.projector.state_dict())
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    model.eval()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tower", "run", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    a = parser.parse_args()
    tower = load(a.tower)
    critic, prompts = load_critic(a.run, tower.labels)
    tokenizer = prompts.tokenizer
    image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    assembled(tower, critic, image_token_id).half().save_pretrained(a.out)
    tokenizer.chat_template = CHAT_TEMPLATE
    image_processor = SiglipImageProcessorPil(
        size={"height": dinov2.IMAGE_SIDE_PX, "width": dinov2.IMAGE_SIDE_PX},
        image_mean=list(dinov2.IMAGENET_MEAN),
        image_std=list(dinov2.IMAGENET_STD),
    )
    # as many placeholders as an image has tokens: a grid of places, the class token and the heads
    LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=dinov2.IMAGE_SIDE_PX // POOLED_GRID_SIDE,
        num_additional_image_tokens=1 + HEAD_TOKENS,
        vision_feature_select_strategy="full",
    ).save_pretrained(a.out)
    files.write_text(a.out / CHECKPOINT_PROMPT_FILE, PROMPTS)


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
