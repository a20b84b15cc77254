"""Tiny random checkpoints of each family, built from their configurations and saved to disk.

A fresh random model is too flat to test anything with: noise is added to its weights, and its output rows are
stretched until its scores over eight images span twenty points.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers as t
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.vlm.scorer import load_vlm_scorer
from vlm_aes.prompts import load_prompt
from vlm_aes.ratings.scale import score

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
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 20, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", *dict.fromkeys(special.values())],
    )  # fmt: skip
    bpe.train_from_iterator([prompt.question, prompt.stem, *prompt.words * 50], trainer)
    shown = (special.get("vision_start_token"), special.get("boi_token", image), special.get("vision_end_token"))
    return t.PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|end|>", extra_special_tokens=special,
        chat_template=PLAIN_TEMPLATE.replace("IMAGE", "".join(filter(None, shown))),
    )  # fmt: skip


_TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
    "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None,
}  # fmt: skip
_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_SIGLIP = {**_VISION, "image_size": 56, "patch_size": 14}


def siglip_processor(side: int) -> SiglipImageProcessorPil:
    """An image processor that resizes to a square."""
    half = [0.5] * 3
    return SiglipImageProcessorPil(size={"height": side, "width": side}, resample=3, image_mean=half, image_std=half)


def clip_processor(side: int) -> CLIPImageProcessorPil:
    """An image processor that resizes the short side and crops the centre."""
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def _save_llava(folder: Path, words, side: int, patch: int) -> None:
    t.LlavaProcessor(
        image_processor=siglip_processor(side), tokenizer=words, patch_size=patch,
        vision_feature_select_strategy="full", chat_template=words.chat_template,
    ).save_pretrained(folder)  # fmt: skip


def _save_parts(folder: Path, words, name: str, processor=None, **settings) -> None:
    """A processor saved part by part, not as one."""
    folder.mkdir(parents=True, exist_ok=True)
    if processor is not None:
        processor.save_pretrained(folder)
    settings = {"processor_class": f"{name}Processor", **settings}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    words.save_pretrained(folder)


def _fast_vlm(folder: Path):
    words = tokenizer("<image>")
    _save_llava(folder, words, 32, 8)
    vision = t.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", hidden_size=32)
    config = t.FastVlmConfig(
        vision_config=vision, text_config=t.Qwen3Config(**_TEXT, head_dim=8, tie_word_embeddings=True),
        image_token_index=words.convert_tokens_to_ids("<image>"), image_seq_length=16, tie_word_embeddings=True,
    )  # fmt: skip
    return t.FastVlmForConditionalGeneration(config)


def _llava(folder: Path, hidden: int = 32):
    words = tokenizer("<image>")
    _save_llava(folder, words, 56, 14)
    config = t.LlavaConfig(
        vision_config=t.SiglipVisionConfig(**_SIGLIP), text_config=t.LlamaConfig(**{**_TEXT, "hidden_size": hidden}),
        image_token_index=words.convert_tokens_to_ids("<image>"), image_seq_length=16,
        vision_feature_select_strategy="full", vision_feature_layer=-1,
    )  # fmt: skip
    return t.LlavaForConditionalGeneration(config)


def _llava_onevision(folder: Path):
    words = tokenizer("<image>")
    grid = [[56, 112], [112, 56], [112, 112]]
    processor = LlavaOnevisionImageProcessorPil(size={"height": 56, "width": 56}, image_grid_pinpoints=grid)
    _save_parts(folder, words, "LlavaOnevision", processor, num_image_tokens=16, vision_feature_select_strategy="full",
                vision_aspect_ratio="anyres_max_9")  # fmt: skip
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(**_SIGLIP), text_config=t.Qwen2Config(**_TEXT),
        image_token_index=words.convert_tokens_to_ids("<image>"), image_grid_pinpoints=grid,
        vision_feature_layer=-1, vision_aspect_ratio="anyres_max_9",
    )  # fmt: skip
    return t.LlavaOnevisionForConditionalGeneration(config)


_QWEN = {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>", "video_token": "<|video_pad|>"}


def _qwen(folder: Path, family: str, hidden: int = 32):
    words = tokenizer("<|image_pad|>", _QWEN)
    tokens = {"image_token": "<|image_pad|>", **_QWEN}
    ids = {f"{name}_id": words.convert_tokens_to_ids(token) for name, token in tokens.items()}
    patch = 14 if family == "qwen2_5_vl" else 16
    sides = {"shortest_edge": 4 * (2 * patch) ** 2, "longest_edge": 16 * (2 * patch) ** 2}
    processor = Qwen2VLImageProcessorPil(patch_size=patch, merge_size=2, temporal_patch_size=2, size=sides)
    _save_parts(folder, words, "Qwen2_5_VL" if family == "qwen2_5_vl" else "Qwen3VL", processor)
    part = hidden // 32
    # bitsandbytes on the CPU packs 4 bits only where every layer has 32 outputs: 4 or 32 heads
    rope = {"rope_type": "default", "mrope_section": [part, part, 2 * part], "rope_theta": 10000.0}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": hidden,
              "patch_size": patch}  # fmt: skip
    if family == "qwen2_5_vl":
        vision |= {"window_size": 56, "fullatt_block_indexes": [1]}
        text = {**_TEXT, "rope_parameters": rope}
        return t.Qwen2_5_VLForConditionalGeneration(t.Qwen2_5_VLConfig(vision_config=vision, text_config=text, **ids))
    vision["num_position_embeddings"] = 64
    rope["mrope_interleaved"] = True
    if family == "qwen3_vl":
        vision["deepstack_visual_indexes"] = [0]
        text = {**_TEXT, "head_dim": 8, "rope_parameters": rope}
        return t.Qwen3VLForConditionalGeneration(t.Qwen3VLConfig(vision_config=vision, text_config=text, **ids))
    text = {
        **_TEXT, "hidden_size": hidden, "head_dim": hidden // 4, "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2, "linear_num_value_heads": 4 if hidden == 32 else 32,
        "linear_key_head_dim": hidden // 4, "linear_value_head_dim": hidden // 4,
        "rope_parameters": {**rope, "partial_rotary_factor": 1.0},
    }  # fmt: skip
    return t.Qwen3_5ForConditionalGeneration(t.Qwen3_5Config(vision_config=vision, text_config=text, **ids))


def _internvl(folder: Path):
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "video_token": "<video>",
             "context_image_token": "<IMG_CONTEXT>"}  # fmt: skip
    words = tokenizer("<IMG_CONTEXT>", names)
    size = {"height": 56, "width": 56}
    processor = GotOcr2ImageProcessorPil(size=size, crop_to_patches=True, min_patches=1, max_patches=4)
    _save_parts(folder, words, "InternVL", processor, image_seq_length=4)
    config = t.InternVLConfig(
        vision_config={**_VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config=t.Qwen3Config(**_TEXT, head_dim=8), image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4, downsample_ratio=0.5,
    )  # fmt: skip
    return t.InternVLForConditionalGeneration(config)


def _smolvlm(folder: Path):
    names = {"fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
             "end_of_utterance_token": "<end_of_utterance>", "video_token": "<video>"}  # fmt: skip
    words = tokenizer("<image>", names)
    whole, tile = {"longest_edge": 112}, {"longest_edge": 56}
    processor = SmolVLMImageProcessorPil(size=whole, max_image_size=tile, do_image_splitting=True)
    _save_parts(folder, words, "SmolVLM", processor, image_seq_len=4)
    config = t.SmolVLMConfig(
        vision_config={**_SIGLIP}, text_config=t.LlamaConfig(**_TEXT), scale_factor=2, pad_token_id=0,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    return t.SmolVLMForConditionalGeneration(config)


def _gemma3(folder: Path):
    words = tokenizer("<image_soft_token>", {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"})
    _save_parts(folder, words, "Gemma3", Gemma3ImageProcessorPil(size={"height": 56, "width": 56}), image_seq_length=4)
    text = t.Gemma3TextConfig(
        **_TEXT, head_dim=8, sliding_window=16, query_pre_attn_scalar=8, final_logit_softcapping=20.0,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    config = t.Gemma3Config(
        vision_config=t.SiglipVisionConfig(**_SIGLIP), text_config=text, mm_tokens_per_image=4,
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
    )  # fmt: skip
    return t.Gemma3ForConditionalGeneration(config)


def _lfm2_vl(folder: Path):
    names = {"image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>",
             "image_thumbnail_token": "<|img_thumbnail|>"}  # fmt: skip
    words = tokenizer("<image>", names)
    _save_parts(folder, words, "Lfm2Vl")
    processor = {"image_processor_type": "Lfm2VlImageProcessor", "tile_size": 64, "min_image_tokens": 2,
                 "max_image_tokens": 8, "max_tiles": 4}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    config = t.Lfm2VlConfig(
        vision_config=t.Siglip2VisionConfig(**_VISION, patch_size=16, num_patches=64),
        text_config=t.Lfm2Config(**_TEXT, layer_types=["conv", "full_attention"], conv_L_cache=3, block_multiple_of=8),
        image_token_id=words.convert_tokens_to_ids("<image>"), projector_hidden_size=32,
    )  # fmt: skip
    return t.Lfm2VlForConditionalGeneration(config)


def build(family: str, folder: Path, **options: int) -> Path:
    """Save a tiny checkpoint of ``family`` into ``folder``."""
    torch.manual_seed(0)
    qwen = family.startswith("qwen")
    model = _qwen(folder, family, **options) if qwen else globals()[f"_{family}"](folder, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.08)
    model.save_pretrained(folder)
    return folder


def stretch(rater, images: list[Image.Image], span: float = 20.0) -> None:
    """Scale the rating words' part of the output head until scores span ``span`` points."""
    head = rater.backbone.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    for _ in range(40):
        scores = score(rater.predict(images)[:, 0])
        if np.ptp(scores) >= span:
            return
        encoded = rater.backbone.encode(images, [rater.tokenized.render()] * len(images))
        centre = rater.backbone.last_hidden(encoded).float().mean(0)
        with torch.no_grad():
            rows = head.weight[rater.word_ids].float() * 1.5
            # without the common part every image gets the same word
            rows -= (rows @ centre)[:, None] * centre / centre.square().sum()
            head.weight[rater.word_ids] = rows.to(head.weight.dtype)
    raise AssertionError(f"scores span only {np.ptp(scores):.1f} points")


def stretched(folder: Path) -> Path:
    """A checkpoint whose scores span twenty points, saved into ``folder``."""
    scorer = load_vlm_scorer(build("fast_vlm", folder), LoadOptions("fp32", "cpu"))
    stretch(scorer, images(8))
    save_untied(scorer.backbone.model, folder)
    return folder


def save_untied(model, folder: Path) -> None:
    """Save a checkpoint whose output head has been changed, and its embedding of tokens has not."""
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False
    model.save_pretrained(folder)
