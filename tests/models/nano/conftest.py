"""A tiny nano: the real tower with random weights, and a language model of two layers."""

import pytest
import torch
import transformers as t

from tests.tiny_checkpoints import VOCABULARY, siglip_processor, tokenizer
from vlm_aes.models.nano.config import NanoConfig
from vlm_aes.models.nano.model import HEAD_TOKENS, IMAGE_TOKENS, POOLED_GRID_SIDE, NanoForConditionalGeneration
from vlm_aes.models.nano.tower import IMAGE_SIDE_PX, tower_config

LABELS = {name: list("abc") for name in ("scene", "tags", "words", "works", "hurts", "advice", "emotions")}
LABELS |= {"attributes": ["quality", "light"], "degradations": ["blur", "noise"]}
PROMPT = """name = "tiny"
question = "Rate it."
stem = " It is"
words = [" bad", " poor", " fair", " good", " excellent"]
critique = "Rate it."
critique_stem = " It is {level}, {score} of 100.{seen} The photo shows"
critique_layout = "subject, critique, next"
critique_tokens = 8
"""


@pytest.fixture(scope="session")
def tiny_nano(tmp_path_factory):
    """Its folder, complete."""
    torch.manual_seed(0)
    folder, words = tmp_path_factory.mktemp("tiny") / "nano", tokenizer("<image>")
    text = t.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, tie_word_embeddings=True, eos_token_id=1, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    scales = [[60, 20], [50, 10]]
    config = NanoConfig(
        vision_config=tower_config(), text_config=text, labels=LABELS, attribute_scales=scales, image_seq_length=20,
        image_token_index=words.convert_tokens_to_ids("<image>"), tie_word_embeddings=True,
    )  # fmt: skip
    NanoForConditionalGeneration(config).save_pretrained(folder)
    t.LlavaProcessor(
        image_processor=siglip_processor(IMAGE_SIDE_PX), tokenizer=words, patch_size=IMAGE_SIDE_PX // POOLED_GRID_SIDE,
        num_additional_image_tokens=1 + HEAD_TOKENS, vision_feature_select_strategy="full",
        chat_template=words.chat_template,
    ).save_pretrained(folder)  # fmt: skip
    (folder / "vlm_aes.toml").write_text(PROMPT)
    assert config.image_seq_length == IMAGE_TOKENS
    return folder
