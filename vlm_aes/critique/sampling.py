"""Sampling that depends on the image alone, so that the same image gets the same critique."""

import hashlib
from collections.abc import Sequence

import torch
from PIL import Image
from transformers import LogitsProcessor


class SeededSampling(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Nucleus sampling with a seed for each row of the batch.

    Greedy decoding gives every middling image the same sentence. Ordinary sampling gives one image
    another critique on every call, or with other batch mates. Here each row draws its noise from
    its own seed (Gumbel-max trick: the argmax of logits / temperature + Gumbel noise is a sample of
    the softmax; Gumbel 1954), so greedy search over the result *is* sampling.

    Args:
        seeds: one for each row of the batch.
        temperature: above 0.
        top_p: share of the probability that stays eligible.
        prompt_length: tokens before the first generated one; the step counts from there.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float, prompt_length: int) -> None:
        self.seeds = list(seeds)
        self.temperature = temperature
        self.top_p = top_p
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, vocabulary) logits whose argmax is the sample; minus infinity outside the nucleus."""
        logits = scores.float() / self.temperature
        ordered, index = logits.sort(dim=-1, descending=True, stable=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        step = input_ids.shape[1] - self.prompt_length
        result = torch.full_like(logits, -torch.inf)
        for row, seed in enumerate(self.seeds):
            kept = index[row, before[row] < self.top_p]
            generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
            uniform = torch.rand(len(kept), generator=generator).clamp(1e-9, 1 - 1e-7)
            gumbel = -torch.log(-torch.log(uniform))
            result[row, kept] = logits[row, kept] + gumbel.to(logits.device)
        return result


def seed_of(image: Image.Image) -> int:
    """A seed from a 32 x 32 thumbnail, so that the way to the pixels (path, bytes) is no matter."""
    thumbnail = image.convert("RGB").resize((32, 32), Image.Resampling.BOX)
    return int.from_bytes(hashlib.sha256(thumbnail.tobytes()).digest()[:6], "little")
