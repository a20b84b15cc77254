"""A fast path as one ONNX file: tower, head, rescaling and normalising are in its graph; the preprocessing
before it and the calibration of its scores are in its metadata."""

import json
import logging
import warnings
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vlm_aes.errors import ExportError, short_text
from vlm_aes.files import replaced
from vlm_aes.models.external.published import PublishedScorer
from vlm_aes.models.heads.onnx import EXPORT_VERSION, GRAPH_OUTPUTS, IMAGE_INPUT, METADATA_KEY, OnnxScorer
from vlm_aes.models.heads.preprocessing import Preprocessing
from vlm_aes.models.heads.scorer import FastScorer
from vlm_aes.models.heads.vision_tower import VisionTower, pooled
from vlm_aes.models.pretrained import quiet
from vlm_aes.models.scorer import Scorer
from vlm_aes.stats import calibration

EXPORT_TOLERANCE = 1e-4
"""Largest allowed difference between probabilities by torch and by ONNX Runtime."""
_PIXEL_TOLERANCE = 1e-4
"""Largest allowed difference between the preprocessing as written down and the processor's."""


class ExportGraph(nn.Module):
    """(B, H, W, 3) levels of 0 to 255 to (B, D) embeddings, and (B, 5) probabilities of a fast head or (B,
    outputs) numbers of a published one."""

    mean: Tensor
    std: Tensor

    def __init__(self, scorer: FastScorer | PublishedScorer) -> None:
        super().__init__()
        self.scorer = scorer
        self.tower = scorer.tower.model
        self.head = scorer.head if isinstance(scorer, FastScorer) else scorer.network
        self.scale, mean, std = _normalisation(scorer.tower)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and outputs of the head."""
        pixels = (image.permute(0, 3, 1, 2).to(torch.float32) * self.scale - self.mean) / self.std
        if isinstance(self.scorer, FastScorer):
            embeddings = pooled(self.tower(pixel_values=pixels))
            return embeddings, self.head(embeddings).softmax(-1)
        embeddings = self.scorer.embed(pixels)
        return embeddings, self.scorer.outputs(embeddings)


def export(scorer: Scorer, out: Path) -> float:
    """Write ``out`` and check it against torch.

    Returns:
        The largest difference between probabilities over images of many shapes.

    Raises:
        ExportError: for a scorer that is no fast path, one whose preprocessing cannot be written down,
            missing packages, or a file that does not agree with torch; nothing is written.
    """
    if not isinstance(scorer, FastScorer | PublishedScorer):
        raise ExportError("only a fast head or a published head is exported: name one")
    if out.suffix != ".onnx":
        raise ExportError(f"{out}: an exported file ends in .onnx")
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ExportError(f"export needs {', '.join(missing)}: pip install 'vlm-aes[onnx]'")
    tower = scorer.tower
    if tower.model.dtype != torch.float32 or tower.model.device.type != "cpu":
        raise ExportError("it is exported from fp32 on the CPU: --precision fp32 --device cpu")
    try:
        preprocessing = Preprocessing.of(tower.settings)
        _check_preprocessing(tower, preprocessing)
    except (ValueError, KeyError) as error:
        raise ExportError(f"its preprocessing cannot be written down: {error}") from None
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced(out) as staging:
        _write(scorer, preprocessing, staging)
        difference = largest_difference(scorer, OnnxScorer(staging), trial_images())
        if not difference <= EXPORT_TOLERANCE:
            raise ExportError(f"ONNX and torch differ by {difference:.2g}, more than {EXPORT_TOLERANCE:g}")
    return difference


def _metadata(scorer: FastScorer | PublishedScorer, preprocessing: Preprocessing) -> dict[str, Any]:
    """The identity, preprocessing and calibration of a scorer; the keys are those of the file."""
    fitted = None if scorer.folder is None else calibration.load(scorer.folder, scorer.calibration_id)
    scale = class_values = None
    if isinstance(scorer, PublishedScorer):
        scale = [scorer.published.scale.low, scorer.published.scale.high]
        class_values = None if scorer.class_values is None else scorer.class_values.tolist()
    return {
        "version": EXPORT_VERSION,
        "model": scorer.model_id,
        "prompt": scorer.prompt_id,
        "framing": asdict(preprocessing),
        "needed_side": scorer.needed_side,
        "calibration": None if fitted is None else asdict(fitted),
        "scale": scale,
        "worth": class_values,
    }


def _write(scorer: FastScorer | PublishedScorer, preprocessing: Preprocessing, file: Path) -> None:
    import onnx

    width, height = preprocessing.size
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    try:
        with quiet(), torch.no_grad(), warnings.catch_warnings():
            # torch deep-copies its own graph while it exports; users can change nothing about either
            warnings.filterwarnings("ignore", module=r"torch\.onnx")
            warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # "torchvision is not installed"
            torch.onnx.export(
                ExportGraph(scorer).eval(),
                (example,),
                str(file),
                input_names=[IMAGE_INPUT],
                output_names=list(GRAPH_OUTPUTS),
                dynamo=True,
                external_data=False,
                dynamic_shapes={IMAGE_INPUT: {0: torch.export.Dim("batch")}},
                verbose=False,
            )
    except Exception as error:
        raise ExportError(f"torch cannot export it ({type(error).__name__}: {short_text(error, 300)})") from error
    model = onnx.load(str(file))
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(_metadata(scorer, preprocessing))
    onnx.save(model, str(file))


def largest_difference(one: Scorer, other: Scorer, images: list[Image.Image]) -> float:
    """The largest difference between the probabilities of two scorers."""
    a, b = (scorer.score_images(images).probabilities for scorer in (one, other))
    return float(np.abs(a - b).max())


def trial_images(n: int = 12) -> list[Image.Image]:
    """Images of many shapes, smooth and rough, the same each time."""
    rng = np.random.default_rng(0)
    images = []
    for i in range(n):
        size = (int(rng.integers(40, 500)), int(rng.integers(40, 500)))
        cells = rng.integers(0, 256, (2 + 3 * i, 2 + 2 * i, 3), dtype=np.uint8)
        images.append(Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC))
    return images


def _normalisation(tower: VisionTower) -> tuple[float, list[float], list[float]]:
    """Factor of the levels, then mean and standard deviation of each channel."""
    settings = tower.settings
    scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1
    if not settings.get("do_normalize", True):
        return float(scale), [0.0] * 3, [1.0] * 3
    return float(scale), settings["image_mean"], settings["image_std"]


def _check_preprocessing(tower: VisionTower, preprocessing: Preprocessing) -> None:
    """Compare what is written down with what the processor does. Raises ValueError where they differ."""
    scale, *channels = _normalisation(tower)
    mean, std = (np.array(values)[:, None, None] for values in channels)
    for image in trial_images(4):
        inputs = tower.pixels(image)
        if set(inputs) != {"pixel_values"}:
            raise ValueError(f"the tower reads {', '.join(inputs)}")
        levels = preprocessing.apply(image).transpose(2, 0, 1) * scale
        own, expected = (levels - mean) / std, inputs["pixel_values"][0].numpy()
        if own.shape != expected.shape or np.abs(own - expected).max() > _PIXEL_TOLERANCE:
            raise ValueError("it does more than to resize, to crop and to normalise")
