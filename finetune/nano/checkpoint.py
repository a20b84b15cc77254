"""Nano's body: tokenizer, configuration and files of a standard FastVLM checkpoint.

The eyes are a ResNet (:mod:`.tower`), the language model is a four-layer Qwen3, the words are 2,048
byte-level pieces. Everything is in standard transformers classes, so that nano loads through the
same path as a checkpoint of nine billion parameters.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen3Config,
    ResNetModel,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from vlm_aes.ratings import WORDS

from .photos import SIDE
from .tower import TowerRecipe, tower_config

VOCABULARY = 2048
CELL = 16
"""Pixels a side of what one image token sees."""
IMAGE_TOKENS = (SIDE // CELL) ** 2
PAD, END, USER, ASSISTANT, IMAGE = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<image>"

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(texts: Iterable[str], answers: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE of ``VOCABULARY`` pieces over ``texts``; each rating word after a space, and
    each of ``answers``, is one piece, whatever the texts hold."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    often = [" ".join(["", *WORDS]) + "".join(answers)] * 1000
    tokenizer.train_from_iterator(
        [*texts, *often],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[PAD, END, USER, ASSISTANT, IMAGE],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        extra_special_tokens={"image_token": IMAGE},
        model_max_length=512,
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, recipe: TowerRecipe, tower: ResNetModel | None = None
) -> FastVlmForConditionalGeneration:
    """The untrained language model behind the given eyes (random ones where none are given)."""
    text = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    config = FastVlmConfig(
        vision_config=tower_config(recipe),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
    )
    model = FastVlmForConditionalGeneration(config)
    if tower is not None:
        model.model.vision_tower.load_state_dict(tower.state_dict())
    return model


def image_processor() -> SiglipImageProcessorPil:
    """Squash to the square that the eyes were trained on; -1 to 1."""
    return SiglipImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        resample=3,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def save_checkpoint(
    model: FastVlmForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write the checkpoint in fp16: complete, or not at all. What else lies in ``folder`` stays."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder.parent / f".{folder.name}.{os.getpid()}"
    half = build_like(model).half()
    half.load_state_dict({k: v.half() if v.is_floating_point() else v
                          for k, v in model.state_dict().items()})  # fmt: skip
    half.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(END)
    half.generation_config.pad_token_id = tokenizer.convert_tokens_to_ids(PAD)
    half.save_pretrained(staging)
    LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=CELL,
        vision_feature_select_strategy="full",
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(staging)
    for file in staging.iterdir():
        file.replace(folder / file.name)
    shutil.rmtree(staging)


def build_like(model: FastVlmForConditionalGeneration) -> FastVlmForConditionalGeneration:
    """A model of the same shape with weights of its own."""
    with torch.random.fork_rng():
        return FastVlmForConditionalGeneration(model.config)
