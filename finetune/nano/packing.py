"""Several questions about one picture in one sequence, none of which sees another.

The picture is read once; each question goes on from it at the positions that it has when it is
asked alone, so training on packed sequences is training on what inference sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """A batch of packed sequences.

    Attributes:
        ids: (B, T), padded on the right.
        positions: (B, T); every question starts where the picture ends.
        mask: (B, 1, T, T) bool, true where a row's token may look.
        ends: (B, S) place of the last token of each question.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    ends: Tensor


def pack(prefix: list[int], segments: list[list[list[int]]], pad: int) -> Packed:
    """Pack the same number of questions behind the same beginning, for every row.

    Args:
        prefix: token ids that each question follows.
        segments: for each row, the ids of each question.
        pad: token id of the padding.
    """
    start = len(prefix)
    width = start + max(sum(map(len, own)) for own in segments)
    ids = torch.full((len(segments), width), pad)
    positions = torch.zeros_like(ids)
    owner = torch.full_like(ids, -1)
    ids[:, :start] = torch.tensor(prefix)
    positions[:, :start] = torch.arange(start)
    owner[:, :start] = 0
    ends = []
    for row, own in enumerate(segments):
        place, last = start, []
        for number, segment in enumerate(own, start=1):
            span = slice(place, place + len(segment))
            ids[row, span] = torch.tensor(segment)
            positions[row, span] = torch.arange(start, start + len(segment))
            owner[row, span] = number
            place += len(segment)
            last.append(place - 1)
        ends.append(last)
    earlier = torch.ones(width, width, dtype=torch.bool).tril()
    looks_at, looker = owner[:, None, :], owner[:, :, None]
    mask = earlier & (looks_at >= 0) & ((looks_at == 0) | (looks_at == looker))
    # padding looks at itself: a row that may look nowhere has no softmax
    mask |= torch.eye(width, dtype=torch.bool)
    return Packed(ids, positions, mask[:, None], torch.tensor(ends))
