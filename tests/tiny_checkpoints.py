"""Tiny random checkpoints of each family, built from their configurations and saved to disk.

A fresh random model is too flat to test anything with: noise is added to its weights, and its output rows are
stretched until its scores over eight images span twenty points.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers as t
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from vlm_aes.prompts import load_prompt

FAMILIES = ("fast_vlm", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "qwen3_5",
            "internvl", "smolvlm", "gemma3", "lfm2_vl")  # fmt: skip
VOCABULARY = 400

PLAIN_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for p in m['content'] %}{% if p['type'] == 'image' %}IMAGE"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def images(n: int, seed: int = 0) -> list[Image.Image]:
    """Images of mixed sizes, smooth and rough, dark and bright."""
    rng = np.random.default_rng(seed)
    result = []
    for i in range(n):
        size = (int(rng.integers(40, 200)), int(rng.integers(40, 200)))
        cells = rng.integers(0, 256, (2 + i % 5, 2 + i % 7, 3), dtype=np.uint8)
        result.append(Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC))
    return result


def tokenizer(image: str, others: dict[str, str] | None = None) -> t.PreTrainedTokenizerFast:
    """A small byte-level BPE in which each rating word after a space is one token."""
    prompt = load_prompt("default")
    special = {"image_token": image, **(others or {})}
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        [prompt.question, prompt.stem, *prompt.words * 50],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - 20,
            special_tokens=["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", *dict.fromkeys(special.values())],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return t.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        extra_special_tokens=special,
        chat_template=PLAIN_TEMPLATE.replace("IMAGE", "".join(_around(special))),
    )


def _around(special: dict[str, str]) -> list[str]:
    before = [v for k, v in special.items() if k in ("vision_start_token", "boi_token_in_text")]
    after = [v for k, v in special.items() if k in ("vision_end_token",)]
    shown = special.get("boi_token", special["image_token"])
    return [*before, shown, *after]


_TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
}
_SIGLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
           "num_attention_heads": 4, "image_size": 56, "patch_size": 14}  # fmt: skip


def siglip_processor(side: int) -> SiglipImageProcessorPil:
    """An image processor that resizes to a square."""
    return SiglipImageProcessorPil(size={"height": side, "width": side}, resample=3,
                                   image_mean=[0.5] * 3, image_std=[0.5] * 3)  # fmt: skip


def clip_processor(side: int) -> CLIPImageProcessorPil:
    """An image processor that resizes the short side and crops the centre."""
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def _fast_vlm(folder: Path):
    words = tokenizer("<image>")
    vision = t.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", hidden_size=32)
    config = t.FastVlmConfig(
        vision_config=vision,
        text_config=t.Qwen3Config(**_TEXT, head_dim=8, tie_word_embeddings=True),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        tie_word_embeddings=True,
    )
    t.LlavaProcessor(image_processor=siglip_processor(32), tokenizer=words, patch_size=8,
                     vision_feature_select_strategy="full",
                     chat_template=words.chat_template).save_pretrained(folder)  # fmt: skip
    return t.FastVlmForConditionalGeneration(config)


def _llava(folder: Path, hidden: int = 32):
    words = tokenizer("<image>")
    config = t.LlavaConfig(
        vision_config=t.SiglipVisionConfig(**_SIGLIP),
        text_config=t.LlamaConfig(**{**_TEXT, "hidden_size": hidden}),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_seq_length=16,
    )
    t.LlavaProcessor(image_processor=siglip_processor(56), tokenizer=words, patch_size=14,
                     vision_feature_select_strategy="full",
                     chat_template=words.chat_template).save_pretrained(folder)  # fmt: skip
    return t.LlavaForConditionalGeneration(config)


def _llava_onevision(folder: Path):
    words = tokenizer("<image>")
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(**_SIGLIP),
        text_config=t.Qwen2Config(**_TEXT),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]],
        vision_feature_layer=-1,
        vision_aspect_ratio="anyres_max_9",
    )
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

    LlavaOnevisionImageProcessorPil(
        size={"height": 56, "width": 56}, image_grid_pinpoints=config.image_grid_pinpoints
    ).save_pretrained(folder)
    _settings(
        folder,
        "LlavaOnevisionProcessor",
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    words.save_pretrained(folder)
    return t.LlavaOnevisionForConditionalGeneration(config)


def _settings(folder: Path, name: str, **settings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": name, **settings}))


_QWEN = {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>", "video_token": "<|video_pad|>"}


def _qwen(folder: Path, family: str, hidden: int = 32):
    words = tokenizer("<|image_pad|>", _QWEN)
    tokens = {"image_token": "<|image_pad|>", **_QWEN}
    ids = {f"{name}_id": words.convert_tokens_to_ids(token) for name, token in tokens.items()}
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    patch = 14 if family == "qwen2_5_vl" else 16
    Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=2, temporal_patch_size=2,
        size={"shortest_edge": 4 * (2 * patch) ** 2, "longest_edge": 16 * (2 * patch) ** 2},
    ).save_pretrained(folder)  # fmt: skip
    words.save_pretrained(folder)
    part = hidden // 32
    # bitsandbytes on the CPU packs 4 bits only where every layer has 32 outputs: 4 or 32 heads
    rope = {"rope_type": "default", "mrope_section": [part, part, 2 * part], "rope_theta": 10000.0}
    if family == "qwen2_5_vl":
        _settings(folder, "Qwen2_5_VLProcessor")
        config = t.Qwen2_5_VLConfig(
            vision_config={"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4,
                           "out_hidden_size": 32, "patch_size": 14, "window_size": 56,
                           "fullatt_block_indexes": [1]},
            text_config={**_TEXT, "rope_parameters": rope}, **ids,
        )  # fmt: skip
        return t.Qwen2_5_VLForConditionalGeneration(config)
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4,
              "out_hidden_size": 32, "patch_size": 16, "num_position_embeddings": 64,
              "deepstack_visual_indexes": [0]}  # fmt: skip
    _settings(folder, "Qwen3VLProcessor")
    if family == "qwen3_vl":
        config = t.Qwen3VLConfig(
            vision_config=vision,
            text_config={**_TEXT, "head_dim": 8, "rope_parameters": {**rope, "mrope_interleaved": True}},
            **ids,
        )
        return t.Qwen3VLForConditionalGeneration(config)
    vision.pop("deepstack_visual_indexes")
    vision["out_hidden_size"] = hidden
    config = t.Qwen3_5Config(
        vision_config=vision,
        text_config={**_TEXT, "hidden_size": hidden, "head_dim": hidden // 4,
                     "layer_types": ["linear_attention", "full_attention"],
                     "linear_num_key_heads": 2, "linear_num_value_heads": 4 if hidden == 32 else 32,
                     "linear_key_head_dim": hidden // 4, "linear_value_head_dim": hidden // 4,
                     "rope_parameters": {**rope, "partial_rotary_factor": 1.0,
                                         "mrope_interleaved": True}},
        **ids,
    )  # fmt: skip
    return t.Qwen3_5ForConditionalGeneration(config)


def _internvl(folder: Path):
    words = tokenizer(
        "<IMG_CONTEXT>",
        {"start_image_token": "<img>", "end_image_token": "</img>", "video_token": "<video>",
         "context_image_token": "<IMG_CONTEXT>"},
    )  # fmt: skip
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    GotOcr2ImageProcessorPil(
        size={"height": 56, "width": 56}, crop_to_patches=True, min_patches=1, max_patches=4
    ).save_pretrained(folder)
    _settings(folder, "InternVLProcessor", image_seq_length=4)
    words.save_pretrained(folder)
    config = t.InternVLConfig(
        vision_config={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                       "num_attention_heads": 4, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config=t.Qwen3Config(**_TEXT, head_dim=8),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )  # fmt: skip
    return t.InternVLForConditionalGeneration(config)


def _smolvlm(folder: Path):
    names = {"fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
             "end_of_utterance_token": "<end_of_utterance>", "video_token": "<video>"}  # fmt: skip
    words = tokenizer("<image>", names)
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    SmolVLMImageProcessorPil(
        size={"longest_edge": 112}, max_image_size={"longest_edge": 56}, do_image_splitting=True
    ).save_pretrained(folder)
    _settings(folder, "SmolVLMProcessor", image_seq_len=4)
    words.save_pretrained(folder)
    config = t.SmolVLMConfig(
        vision_config={**_SIGLIP},
        text_config=t.LlamaConfig(**_TEXT),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    return t.SmolVLMForConditionalGeneration(config)


def _gemma3(folder: Path):
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    words = tokenizer("<image_soft_token>", names)
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    Gemma3ImageProcessorPil(size={"height": 56, "width": 56}).save_pretrained(folder)
    _settings(folder, "Gemma3Processor", image_seq_length=4)
    words.save_pretrained(folder)
    config = t.Gemma3Config(
        vision_config=t.SiglipVisionConfig(**_SIGLIP),
        text_config=t.Gemma3TextConfig(
            **_TEXT, head_dim=8, sliding_window=16, query_pre_attn_scalar=8,
            layer_types=["sliding_attention", "full_attention"], final_logit_softcapping=20.0,
        ),
        mm_tokens_per_image=4,
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
    )  # fmt: skip
    return t.Gemma3ForConditionalGeneration(config)


def _lfm2_vl(folder: Path):
    names = {"image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>",
             "image_thumbnail_token": "<|img_thumbnail|>"}  # fmt: skip
    words = tokenizer("<image>", names)
    _settings(folder, "Lfm2VlProcessor")
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "Lfm2VlImageProcessor", "tile_size": 64,
                    "min_image_tokens": 2, "max_image_tokens": 8, "max_tiles": 4})
    )  # fmt: skip
    words.save_pretrained(folder)
    config = t.Lfm2VlConfig(
        vision_config=t.Siglip2VisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            patch_size=16, num_patches=64,
        ),
        text_config=t.Lfm2Config(
            **{**_TEXT, "num_hidden_layers": 2}, layer_types=["conv", "full_attention"],
            conv_L_cache=3, block_multiple_of=8,
        ),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
    )  # fmt: skip
    return t.Lfm2VlForConditionalGeneration(config)


def build(family: str, folder: Path, **options: int) -> Path:
    """Save a tiny checkpoint of ``family`` into ``folder``."""
    torch.manual_seed(0)
    if family.startswith("qwen"):
        model = _qwen(folder, family, **options)
    else:
        model = globals()[f"_{family}"](folder, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.08)
    model.save_pretrained(folder)
    return folder


def stretch(rater, images: list[Image.Image], span: float = 20.0) -> None:
    """Scale the rating words' part of the output head until scores span ``span`` points."""
    from vlm_aes.ratings import scale as ratings

    head = rater.backbone.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    for _ in range(40):
        scores = ratings.score(rater.predict(images)[:, 0])
        if np.ptp(scores) >= span:
            return
        hidden = rater.backbone.last_hidden(
            rater.backbone.encode(images, [rater.tokenized.render()] * len(images))
        ).float()
        centre = hidden.mean(0)
        with torch.no_grad():
            rows = head.weight[rater.word_ids].float() * 1.5
            # without the common part every image gets the same word
            rows -= (rows @ centre)[:, None] * centre / centre.square().sum()
            head.weight[rater.word_ids] = rows.to(head.weight.dtype)
    raise AssertionError(f"scores span only {np.ptp(scores):.1f} points")


def stretched(folder: Path) -> Path:
    """A checkpoint whose scores span twenty points, saved into ``folder``."""
    from vlm_aes.models.pretrained import LoadOptions
    from vlm_aes.models.vlm.scorer import load_vlm_scorer

    scorer = load_vlm_scorer(build("fast_vlm", folder), LoadOptions("fp32", "cpu"))
    stretch(scorer, images(8))
    save_untied(scorer.backbone.model, folder)
    return folder


def save_untied(model, folder: Path) -> None:
    """Save a checkpoint whose output head has been changed, and its embedding of tokens has not."""
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False
    model.save_pretrained(folder)
