"""Five rows of the output head against full-vocabulary logits: time and peak memory, in one run.

A random Qwen3.5 of the 0.8B shape (hidden 1024, 24 layers, three linear to one full attention,
vocabulary 248,320) reads a prompt of image length three ways: logits for every token, logits for
the last token, and five rows of the head on the last hidden state. Each way runs in a process of
its own, alternating, so that peak memory is its own and the machine's noise is shared.

    python benchmarks/five_rows.py [--tokens 256] [--layers 24] [--rounds 3]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from options import options

WAYS = ("every token", "last token", "five rows")


def measure(way: str, tokens: int, layers: int) -> dict[str, float]:
    """Seconds of one forward pass after a warm-up, and how much it adds to the peak memory."""
    import torch
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    torch.manual_seed(0)
    config = Qwen3_5TextConfig(
        vocab_size=248_320,
        hidden_size=1024,
        intermediate_size=3584,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=256,
        linear_num_key_heads=16,
        linear_num_value_heads=16,
        linear_key_head_dim=128,
        linear_value_head_dim=128,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = Qwen3_5ForCausalLM(config)
    model = model.to(torch.bfloat16).to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
        for module in model.modules():
            if hasattr(module, "inv_freq"):
                module.inv_freq.fill_(0.01)
    ids = torch.arange(tokens)[None]
    rows = torch.tensor([11, 22, 33, 44, 55])

    def forward(length: int) -> None:
        part = ids[:, :length]
        with torch.inference_mode():
            if way == "five rows":
                hidden = model.model(input_ids=part).last_hidden_state[:, -1]
                hidden.float() @ model.lm_head.weight[rows].float().T
            else:
                keep = 1 if way == "last token" else 0
                model(input_ids=part, logits_to_keep=keep).logits[:, -1, rows].float()

    forward(8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    forward(tokens)
    seconds = time.perf_counter() - began
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": seconds, "added_mib": added}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS)
    a = parser.parse_args()
    if a.way:
        print(json.dumps(measure(a.way, a.tokens, a.layers)))
        return
    best: dict[str, dict[str, float]] = {}
    for _ in range(a.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--tokens", str(a.tokens), "--layers", str(a.layers)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = json.loads(out.splitlines()[-1])
            known = best.setdefault(way, found)
            best[way] = {k: min(known[k], v) for k, v in found.items()}
    base = best["five rows"]["seconds"]
    print(f"{a.tokens} tokens, {a.layers} layers, best of {a.rounds}")
    for way, found in best.items():
        print(f"{way:<12} {found['seconds']:7.2f} s  {found['seconds'] / base:5.2f} x  +{found['added_mib']:6.0f} MiB")


if __name__ == "__main__":
    main()
