"""A fast path as one ONNX file: tower, head, rescaling and normalising inside; what comes before
that, and what the numbers mean, written down in it."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vlm_aes.errors import ExportError
from vlm_aes.images.open import LoadedImage
from vlm_aes.models.external.published import PublishedRater, embedded
from vlm_aes.models.heads.framing import Framing
from vlm_aes.models.heads.onnx import (
    IMAGE,
    KEY,
    SAID,
    STATES,
    VERSION,
    ExportedRater,
)
from vlm_aes.models.heads.rater import FastRater
from vlm_aes.models.heads.tower import Tower, pooled
from vlm_aes.models.scorer import Scorer
from vlm_aes.models.vlm.weights import quiet
from vlm_aes.stats import calibration

TOLERANCE = 1e-4
"""Largest difference between probabilities by torch and by ONNX Runtime that is let pass."""


class Graph(nn.Module):
    """(B, H, W, 3) levels of 0 to 255 to (B, D) embeddings, and (B, 5) probabilities of a fast head
    or (B, outputs) numbers of a published one."""

    mean: Tensor
    std: Tensor

    def __init__(self, scorer: FastRater | PublishedRater) -> None:
        super().__init__()
        self.scorer = scorer
        self.tower = scorer.tower.model
        self.head = scorer.head if isinstance(scorer, FastRater) else scorer.network
        settings = json.loads(scorer.tower.processor.to_json_string())
        scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1
        plain = not settings.get("do_normalize", True)
        mean = [0.0] * 3 if plain else settings["image_mean"]
        std = [1.0] * 3 if plain else settings["image_std"]
        self.scale = float(scale)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and what the head says."""
        pixels = (image.permute(0, 3, 1, 2).to(torch.float32) * self.scale - self.mean) / self.std
        if isinstance(self.scorer, FastRater):
            states = pooled(self.tower(pixel_values=pixels))
            return states, self.head(states).softmax(-1)
        states = embedded(self.scorer.tower, self.scorer.layout, pixels)
        return states, self.scorer.said(states)


def export(scorer: Scorer, out: Path) -> float:
    """Write ``out`` and check it against torch.

    Returns:
        The largest difference between probabilities over pictures of many shapes.

    Raises:
        ExportError: for a rater that is no fast path, one whose preprocessing cannot be written
            down, missing packages, or a file that does not agree with torch; nothing is written.
    """
    if not isinstance(scorer, FastRater | PublishedRater):
        raise ExportError("only a fast head or a published head is exported: name one")
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ExportError(f"export needs {', '.join(missing)}: pip install 'vlm-aes[onnx]'")
    tower = scorer.tower
    if tower.model.dtype != torch.float32 or tower.model.device.type != "cpu":
        raise ExportError("it is exported from fp32 on the CPU: --precision fp32 --device cpu")
    try:
        framing = Framing.of(json.loads(tower.processor.to_json_string()))
        _check_framing(tower, framing)
    except (ValueError, KeyError) as error:
        raise ExportError(f"its preprocessing cannot be written down: {error}") from None
    about = _about(scorer, framing)
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, staging = tempfile.mkstemp(suffix=".onnx", prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    staged = Path(staging)
    try:
        _write(Graph(scorer).eval(), framing, about, staged)
        apart = difference(scorer, ExportedRater(staged), trial_images())
        if not apart <= TOLERANCE:
            raise ExportError(f"ONNX and torch differ by {apart:.2g}, more than {TOLERANCE:g}")
        staged.chmod(0o644)
        staged.replace(out)
    finally:
        staged.unlink(missing_ok=True)
    return apart


def _about(scorer: FastRater | PublishedRater, framing: Framing) -> dict[str, Any]:
    """What the file says of itself."""
    worth = calibration.load(scorer.folder, scorer.label) if scorer.folder else None
    said: dict[str, Any] = {
        "version": VERSION, "model": scorer.model_id, "prompt": scorer.prompt_id,
        "framing": asdict(framing), "needed_side": scorer.needed_side,
        "calibration": None if worth is None else asdict(worth), "scale": None, "worth": None,
    }  # fmt: skip
    if isinstance(scorer, PublishedRater):
        said["scale"] = [scorer.layout.scale.low, scorer.layout.scale.high]
        said["worth"] = None if scorer.worth is None else scorer.worth.tolist()
    return said


def _write(graph: Graph, framing: Framing, about: dict[str, Any], file: Path) -> None:
    import onnx

    width, height = framing.size
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                graph, (example,), str(file), input_names=[IMAGE],
                output_names=[STATES, SAID], dynamo=True, external_data=False,
                dynamic_shapes={"image": {0: torch.export.Dim("batch")}}, verbose=False,
            )  # fmt: skip
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise ExportError(f"torch cannot export it ({type(error).__name__}: {text})") from error
    model = onnx.load(str(file))
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(about)
    onnx.save(model, str(file))


def difference(one: Scorer, other: Scorer, pictures: list[Image.Image]) -> float:
    """The largest difference between two raters' probabilities."""
    said = []
    for scorer in (one, other):
        looked = [scorer.read(LoadedImage(image, *image.size, "")) for image in pictures]
        said.append(scorer.rate(looked).probabilities)
    return float(np.abs(said[0] - said[1]).max())


def trial_images(n: int = 12) -> list[Image.Image]:
    """Pictures of many shapes, smooth and rough, the same each time."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        size = (int(rng.integers(40, 500)), int(rng.integers(40, 500)))
        cells = rng.integers(0, 256, (2 + 3 * i, 2 + 2 * i, 3), dtype=np.uint8)
        found.append(Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC))
    return found


def _check_framing(tower: Tower, framing: Framing) -> None:
    """What is written down against what the processor does.

    Raises:
        ValueError: where they differ.
    """
    settings = json.loads(tower.processor.to_json_string())
    plain = not settings.get("do_normalize", True)
    for image in trial_images(4):
        wanted = tower.pixels(image)
        if set(wanted) != {"pixel_values"}:
            raise ValueError(f"the tower reads {', '.join(wanted)}")
        levels = framing.apply(image).transpose(2, 0, 1) * settings.get("rescale_factor", 1 / 255)
        mean = 0 if plain else np.array(settings["image_mean"])[:, None, None]
        std = 1 if plain else np.array(settings["image_std"])[:, None, None]
        found, there = (levels - mean) / std, wanted["pixel_values"][0].numpy()
        if found.shape != there.shape or float(np.abs(found - there).max()) > 1e-4:
            raise ValueError("it does more than to resize, to cut and to normalise")
