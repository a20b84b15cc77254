"""What training a large checkpoint would take, reckoned from its shapes: nothing is downloaded.

Builds each network on the meta device (shapes without numbers), counts its weights and the
adapters' from the layers that training would choose, runs every layer forward on as many tokens
as a picture and its question have, and adds up what the backward pass would keep. Time is
reckoned from the arithmetic (2 a weight and token forward, as much backward through a frozen base,
2 more with checkpointing; the tower sees four cells a token) at a share of the card's peak.
Estimates: allocators, kernels and cards differ.

    python benchmarks/training_memory.py [--tokens 1100] [--batch 4] [--tflops 165] [--share 0.3]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from options import options
from transformers import AutoModelForImageTextToText, Qwen3_5Config, Qwen3VLConfig

from vlm_aes.training.lora import language_model, linear_targets, vision_modules

GIB = 2**30
RANK = 16
CELLS = 4
"""Of the tower, in each token of the language model."""


def q_realign_mini() -> Any:
    """Qwen3.5 0.8B, which Q-ReAlign-Mini is trained from."""
    return Qwen3_5Config(
        text_config={
            "vocab_size": 248_320,
            "hidden_size": 1024,
            "intermediate_size": 3584,
            "num_hidden_layers": 24,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 256,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 16,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 12,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_heads": 12,
            "out_hidden_size": 1024,
            "patch_size": 16,
        },
        tie_word_embeddings=True,
    )


def qwen3_vl_2b() -> Any:
    """Qwen3-VL-2B-Instruct."""
    return Qwen3VLConfig(
        text_config={
            "vocab_size": 151_936,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "patch_size": 16,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        tie_word_embeddings=True,
    )


@contextmanager
def kept_for_backward() -> Iterator[dict[int, int]]:
    """Bytes of each tensor that the backward pass would keep, weights left out."""
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter) and tensor.is_floating_point():
            found[id(tensor.untyped_storage())] = tensor.numel() * 2
            kept.append(tensor)
        return tensor

    kept: list[torch.Tensor] = []  # so that no id is given twice
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found


def reckoned(name: str, config: Any, a: argparse.Namespace) -> None:
    """Print what one checkpoint takes."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
        model.requires_grad_(False)
        words = language_model(model)
        everything = sum(p.numel() for p in model.parameters())
        in_words = sum(p.numel() for p in words.parameters())
        in_words -= words.get_input_embeddings().weight.numel()
        in_eyes = sum(p.numel() for part in vision_modules(model) for p in part.parameters())
        layers = dict(model.named_modules())
        targets = [layers[target] for target in linear_targets(model, tower=False)]
        adapters = sum(RANK * (m.in_features + m.out_features) for m in targets)
        width = config.text_config.hidden_size
        depth = config.text_config.num_hidden_layers
        states = torch.zeros(1, a.tokens, width, dtype=torch.bfloat16, requires_grad=True)
        places = torch.zeros(3, 1, a.tokens, dtype=torch.long)
        angles = words.rotary_emb(states, places)
        with kept_for_backward() as found:
            hidden = states
            for layer in words.layers:
                out = layer(hidden, position_embeddings=angles, attention_mask=None)
                hidden = out[0] if isinstance(out, tuple) else out
    # what the adapters keep beside: the input of each after dropout, its mask, the narrow middle
    beside = sum(a.tokens * (3 * m.in_features + 2 * RANK) for m in targets)
    picture = sum(found.values()) + beside
    checkpointed = 2 * a.tokens * width * depth + picture / depth
    weights, trained = 2 * everything, adapters * (4 + 4 + 8)
    four_bit = 0.55 * in_words + 2 * (everything - in_words)
    passes = (4, 6)
    print(f"\n{name}: {everything / 1e9:.2f}B weights, adapters {adapters / 1e6:.1f}M")
    print(
        f"  base in bf16 {weights / GIB:.1f} GiB, in 4 bits {four_bit / GIB:.1f} GiB; adapters "
        f"with their gradients and Adam {trained / GIB:.2f} GiB"
    )
    for label, each, work in (("plain", picture, passes[0]), ("checkpointed", checkpointed, passes[1])):
        held = weights + trained + a.batch * each
        seconds = (work * in_words + 2 * CELLS * in_eyes) * a.tokens
        seconds /= a.tflops * 1e12 * a.share
        print(
            f"  {label}: {each / GIB:.2f} GiB a picture of {a.tokens} tokens; {a.batch} a batch "
            f"{held / GIB:.1f} GiB; 1,000 pictures three times over "
            f"{3000 * seconds / 60:.1f} min"
        )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--tokens", type=int, default=1100, help="of a picture and its question")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tflops", type=float, default=165, help="peak of the card in bf16")
    parser.add_argument("--share", type=float, default=0.3, help="of it that is reached")
    a = parser.parse_args()
    print(f"a card of {a.tflops:g} TFLOP/s, {a.share:.0%} of it reached; estimates from shapes")
    reckoned("Q-ReAlign-Mini", q_realign_mini(), a)
    reckoned("Qwen3-VL-2B", qwen3_vl_2b(), a)


if __name__ == "__main__":
    main()
