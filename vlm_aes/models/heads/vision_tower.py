"""Vision towers: any that ``AutoModel`` loads, or the one inside a checkpoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from transformers import AutoModel

from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.images.color import to_rgb
from vlm_aes.images.result import LoadedImage
from vlm_aes.models.heads import efficientnet_lite  # AutoModel knows it  # noqa: F401
from vlm_aes.models.heads.head import HEAD_FOLDER, TOWER_FOLDER
from vlm_aes.models.nano import NANO, NANO_NAME
from vlm_aes.models.pretrained import LoadOptions, hub_options, json_hash, load_network, read_config, weights_hash
from vlm_aes.models.scorer import MIN_DECODED_SIDE_PX, Scorer
from vlm_aes.models.vlm.processors import load_image_processor, pixel_backend

Pixels = dict[str, Tensor]
"""The inputs of a tower for one image, (1, ...) each."""

PLAIN_CPU = LoadOptions("fp32", "cpu")
"""Options of a tower that is loaded for training or for export."""
_POOLING = "pooled+mean+std-1"
"""Part of an embedding's identity: the way in which a tower's cells become one vector."""
_ANY_SIZE_SIDE_PX = 1024
"""Long side at which an image is decoded for a tower that takes images of any size."""


class VisionTower:
    """A vision tower with its image processor: images to embeddings.

    Attributes:
        weights_hash: of its weights, whatever precision they are held in.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.weights_hash = weights_hash(model)
        self.pixel_backend = pixel_backend("auto")

    @property
    def settings(self) -> Any:
        """The settings of the image processor, as its JSON has them."""
        return json.loads(self.processor.to_json_string())

    @property
    def preprocessing(self) -> str:
        """A hash of the preprocessing, the pixel backend and the pooling."""
        return json_hash([self.settings, self.pixel_backend, _POOLING])

    @property
    def identity(self) -> str:
        """Of the embeddings: weights and preprocessing."""
        return f"{self.weights_hash}-{self.preprocessing}-{self.model.dtype}".replace("torch.", "")

    @property
    def needed_side(self) -> int:
        """Long side in pixels that is enough: twice what the tower reads."""
        sides = [v for v in dict(getattr(self.processor, "size", None) or {}).values() if isinstance(v, int)]
        return max(MIN_DECODED_SIDE_PX, 2 * max(sides)) if sides else _ANY_SIZE_SIDE_PX

    def pixels(self, image: Image.Image) -> Pixels:
        """The inputs of the tower for one image; in any thread."""
        encoded = self.processor(images=[to_rgb(image)], return_tensors="pt")
        return {k: v for k, v in encoded.items() if isinstance(v, Tensor)}

    def batch(self, pixels: Sequence[Pixels]) -> Pixels:
        """The inputs of B images as one batch, on the tower's device and in its number format."""
        inputs = {k: torch.cat([p[k] for p in pixels]).to(self.model.device) for k in pixels[0]}
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        return inputs

    @torch.inference_mode()
    def embed(self, pixels: Sequence[Pixels]) -> Tensor:
        """(B, D) embeddings in fp32: the tower's own pooled vector where it is trained, and mean and standard
        deviation over its cells."""
        inputs = self.batch(pixels)
        return pooled(self.model(**inputs), inputs.get("pixel_attention_mask"))

    def save(self, folder: Path) -> None:
        """Write it as a checkpoint that ``AutoModel`` loads."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)


class TowerScorer(Scorer):
    """Base of the scorers that read the pixels of a vision tower."""

    def __init__(self, tower: VisionTower) -> None:
        self.tower = tower
        self.needed_side = tower.needed_side

    def preprocess(self, image: LoadedImage) -> Pixels:
        """The inputs of the tower; in any thread."""
        return self.tower.pixels(image.image)


def pooled(out: Any, mask: Tensor | None = None) -> Tensor:
    """(B, D) embeddings from a tower's output for B images; see :meth:`VisionTower.embed`.

    Args:
        mask: (B, cells) 1 where a cell is part of the image.
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


def load_with_processor(
    loader: Any, name: str | Path, purpose: str, options: LoadOptions, config: Any = None, *, complete: bool = True
) -> tuple[Any, Any]:
    """A network of transformers and its image processor, from a folder or a hub id.

    Args:
        loader: the class whose ``from_pretrained`` loads it.
        purpose: what it is loaded as, for the message: ``an image classifier``.
        config: its configuration, where it is read already.
        complete: whether missing weights are an error.

    Raises:
        CheckpointError: names it and the reason.
    """
    device, dtype = options.placement(name)
    hub = hub_options(name, options.revision)
    try:
        config = config or read_config(name, options.revision)
        processor = load_image_processor(str(name), config, pixel_backend("auto"), hub | {"trust_remote_code": False})
        network = load_network(loader, name, complete=complete, config=config, dtype=dtype, **hub)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(name, f"it cannot be loaded as {purpose} ({short_text(error)})") from error
    return network.to(device), processor


def load_tower(name: str | Path, options: LoadOptions = PLAIN_CPU) -> VisionTower:
    """A tower from a folder or a hub id; of a model with text and image towers, the image's."""
    model, processor = load_with_processor(AutoModel, name, "a vision tower", options, complete=False)
    return VisionTower(getattr(model, "vision_model", model), processor)


def checkpoint_tower(checkpoint: Path, options: LoadOptions = PLAIN_CPU) -> VisionTower:
    """The vision tower inside a checkpoint's folder; nothing else of it is read. It is that of the fast head where
    this one brings a tower along. Raises CheckpointError where it has none that reads plain images."""
    small = checkpoint / HEAD_FOLDER / TOWER_FOLDER
    if (small / "config.json").is_file():
        return load_tower(small, options)
    device, dtype = options.placement(checkpoint)
    try:
        config = read_config(checkpoint)
        processor = load_image_processor(str(checkpoint), config, pixel_backend("auto"), hub_options(checkpoint))
        model = AutoModel.from_config(config.vision_config, dtype=dtype)
        model.load_state_dict(_weights_of(checkpoint, list(model.state_dict())))
    except Exception as error:
        reason = f"its own vision tower cannot be used alone ({short_text(error)}); name a --tower"
        raise CheckpointError(checkpoint, reason) from error
    return VisionTower(getattr(model, "vision_model", model).to(device), processor)


def find_tower(name: str, options: LoadOptions) -> VisionTower:
    """The vision tower of ``nano``, the embedded checkpoint, or of a checkpoint, a folder or a hub id."""
    if name == NANO_NAME:
        return checkpoint_tower(NANO, options)
    folder = Path(name)
    if (folder / "config.json").is_file():
        config = read_config(folder)
        # the language model behind the tower is not needed for embeddings
        if hasattr(config, "vision_config") and hasattr(config, "image_token_index"):
            return checkpoint_tower(folder, options)
    return load_tower(name, options)


def _weights_of(checkpoint: Path, names: list[str]) -> dict[str, Tensor]:
    """The tensors called ``names`` below some prefix in a checkpoint's safetensors."""
    files: dict[str, Path] = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, "pt") as content:
            files |= dict.fromkeys(content.keys(), file)
    needed = [n for n in names if not n.endswith("num_batches_tracked")]
    prefixes = {k.removesuffix(needed[0]) for k in files if k.endswith(needed[0])}
    for prefix in sorted(prefixes, key=len):
        if all(prefix + name in files for name in needed):
            state = dict.fromkeys(names, torch.tensor(0))
            for name in names:
                if prefix + name in files:
                    with safe_open(files[prefix + name], "pt") as content:
                        state[name] = content.get_tensor(prefix + name)
            return state
    raise ValueError(f"no weights of it in {checkpoint}")
