"""A vision tower: any that ``AutoModel`` gives, or the one inside a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModel

from vlm_aes.errors import CheckpointError
from vlm_aes.images.color import to_rgb
from vlm_aes.models.vlm.loading import DTYPES, choose_device
from vlm_aes.models.vlm.processors import load_image_processor, pixel_backend
from vlm_aes.models.vlm.weights import hub_options, quiet

Pixels = dict[str, Tensor]

POOLING = "pooled+mean+std-1"
"""Part of an embedding's identity: how a tower's cells become one vector."""
DECODED = 448
"""Pixels of the long side that a picture is decoded at, at least: warnings are read from it too."""
ENOUGH = 1024
"""The same for a tower that takes pictures of any size."""


class Tower:
    """A vision tower with its image processor: pictures to embeddings.

    Attributes:
        weights_hash: of its weights, as they were saved.
    """

    def __init__(self, model: Any, processor: Any, weights_hash: str, pixels: str = "pil") -> None:
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.weights_hash = weights_hash
        self.pixel_backend = pixels

    @property
    def preprocessing(self) -> str:
        """A hash of the preprocessing, the pixel backend and the pooling."""
        parts = [json.loads(self.processor.to_json_string()), self.pixel_backend, POOLING]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def identity(self) -> str:
        """Of the embeddings: weights and preprocessing."""
        return f"{self.weights_hash}-{self.preprocessing}-{self.model.dtype}".replace("torch.", "")

    @property
    def needed_side(self) -> int:
        """Long side in pixels that is enough: twice what the tower reads."""
        size = dict(getattr(self.processor, "size", None) or {})
        sides = [v for v in size.values() if isinstance(v, int)]
        return max(DECODED, 2 * max(sides)) if sides else ENOUGH

    def pixels(self, image: Image.Image) -> Pixels:
        """What the tower reads of one picture, (1, ...) each; in any thread."""
        encoded = self.processor(images=[to_rgb(image)], return_tensors="pt")
        return {k: v for k, v in encoded.items() if isinstance(v, Tensor)}

    @torch.inference_mode()
    def embed(self, pixels: Sequence[Pixels]) -> Tensor:
        """(B, D) embeddings in fp32: the tower's own pooled vector where it is trained, and mean
        and standard deviation over its cells."""
        inputs = {k: torch.cat([p[k] for p in pixels]).to(self.model.device) for k in pixels[0]}
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        return pooled(self.model(**inputs), inputs.get("pixel_attention_mask"))

    def save(self, folder: Path) -> None:
        """Write it as a checkpoint that ``AutoModel`` loads."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)


def pooled(out: Any, mask: Tensor | None = None) -> Tensor:
    """What a tower gives for B pictures to (B, D) embeddings; see :meth:`Tower.embed`.

    Args:
        mask: (B, cells) 1 where a cell is part of the picture.
    """
    cells = out.last_hidden_state.float()
    parts = []
    if cells.ndim == 4:
        cells = cells.flatten(2).transpose(1, 2)
    elif getattr(out, "pooler_output", None) is not None:
        parts.append(out.pooler_output.float().flatten(1))
    real = torch.ones_like(cells[..., :1]) if mask is None else mask[..., None].to(cells)
    n = real.sum(1).clamp(min=1)
    mean = (cells * real).sum(1) / n
    spread = (((cells - mean[:, None]) ** 2 * real).sum(1) / n).sqrt()
    return torch.cat([*parts, mean, spread], dim=1)


def load_tower(
    name: str | Path, *, revision: str | None = None, device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tower:  # fmt: skip
    """A tower from a folder or a hub id; of a model with text and image towers, the image's.

    Raises:
        CheckpointError: names it and the reason.
    """
    hub = hub_options(name, revision)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False, **hub)
        processor = load_image_processor(str(name), config, pixel_backend("auto"), hub)
        with quiet():
            model = AutoModel.from_pretrained(name, trust_remote_code=False, dtype=dtype, **hub)
    except Exception as error:
        reason = f"it cannot be loaded as a vision tower ({brief(error)})"
        raise CheckpointError(name, reason) from error
    vision = getattr(model, "vision_model", model)
    return Tower(vision.to(device), processor, weights_hash(vision))


def own_tower(
    checkpoint: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Tower:
    """The vision tower inside a checkpoint's folder; nothing else of it is read.

    Raises:
        CheckpointError: where it has none that reads plain pictures.
    """
    try:
        config = AutoConfig.from_pretrained(checkpoint, local_files_only=True)
        vision = config.vision_config
        processor = load_image_processor(str(checkpoint), config, pixel_backend("auto"),
                                         {"local_files_only": True})  # fmt: skip
        model = AutoModel.from_config(vision, dtype=dtype)
        model.load_state_dict(_weights_of(checkpoint, list(model.state_dict())))
    except Exception as error:
        raise CheckpointError(
            checkpoint,
            f"its own vision tower cannot be used alone ({brief(error)}); name a --tower",
        ) from error
    model = getattr(model, "vision_model", model)
    return Tower(model.to(device), processor, weights_hash(model))


def _weights_of(checkpoint: Path, names: list[str]) -> dict[str, Tensor]:
    """The tensors called ``names`` below some prefix in a checkpoint's safetensors."""
    where: dict[str, Path] = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, "pt") as content:
            where |= dict.fromkeys(content.keys(), file)
    needed = [n for n in names if not n.endswith("num_batches_tracked")]
    prefixes = {k.removesuffix(needed[0]) for k in where if k.endswith(needed[0])}
    for prefix in sorted(prefixes, key=len):
        if all(prefix + name in where for name in needed):
            found: dict[str, Tensor] = {}
            for name in names:
                if prefix + name in where:
                    with safe_open(where[prefix + name], "pt") as content:
                        found[name] = content.get_tensor(prefix + name)
                else:
                    found[name] = torch.tensor(0)
            return found
    raise ValueError(f"no weights of it in {checkpoint}")


def weights_hash(model: torch.nn.Module) -> str:
    """A short hash of a model's weights, the same in whatever precision they are held."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(name.encode())
            digest.update(tensor.detach().to("cpu", torch.bfloat16).contiguous()
                          .view(torch.int16).numpy().tobytes())  # fmt: skip
    return digest.hexdigest()[:12]


def placed(model: str | Path, precision: str, device: str) -> tuple[str, torch.dtype]:
    """The device, and the number format there, that were asked for.

    Raises:
        CheckpointError: for a precision that is for language models alone.
    """
    if precision not in ("auto", *DTYPES):
        raise CheckpointError(model, f"precision {precision!r}: it takes auto, {', '.join(DTYPES)}")
    place = choose_device(device)
    auto = torch.bfloat16 if place.startswith("cuda") else torch.float32
    return place, DTYPES.get(precision, auto)


def brief(error: BaseException) -> str:
    """What a library said, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
