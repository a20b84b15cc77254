"""Scores of an exported fast path, by ONNX Runtime or OpenVINO; torch has no part in it."""

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.images.result import LoadedImage
from vlm_aes.models.heads.preprocessing import Bytes, Preprocessing
from vlm_aes.models.scorer import Scorer, Scores
from vlm_aes.ratings.scale import Scale
from vlm_aes.stats import calibration

METADATA_KEY = "vlm_aes"
"""Entry of the file's metadata with identity, preprocessing and calibration, as JSON."""
EXPORT_VERSION = 1
IMAGE_INPUT = "image"
GRAPH_OUTPUTS = ("picture_embedding", "rating")
"""Names of the embedding and the head's output in the graph; no tower has tensors of these names inside."""
_SUFFIX = ".onnx"
_OPENVINO_PREFIX = "openvino:"
"""Before a file's name: run by OpenVINO instead of ONNX Runtime."""

Run = Callable[[Bytes], Sequence[Any]]
"""From (B, H, W, 3) levels to (B, D) embeddings and (B, outputs) of the head."""


class OnnxScorer(Scorer):
    """Scores with an ``.onnx`` file that ``vlm-aes export`` wrote, as the scorer that it is made from. Raises
    CheckpointError for another file, or where the runtime is not installed."""

    def __init__(self, file: Path, *, openvino: bool = False) -> None:
        self.file = file
        run, metadata = (_openvino if openvino else _onnxruntime)(file)
        self._run = run
        try:
            data = json.loads(metadata[METADATA_KEY])
            if (version := data["version"]) != EXPORT_VERSION:
                raise CheckpointError(file, f"it is of version {version}, this is {EXPORT_VERSION}: export it anew")
            self.preprocessing = Preprocessing.parse(data["framing"])
            self.scale = Scale(*data["scale"]) if data["scale"] else None
            self.class_values = None if data["worth"] is None else np.array(data["worth"])
            fitted = data["calibration"]
            self.calibration = None if fitted is None else calibration.parse(json.dumps(fitted))
            self.model_id = f"{data['model']}:{'openvino' if openvino else 'onnx'}"
            self.prompt_id = str(data["prompt"])
            self.needed_side = int(data["needed_side"])
        except (KeyError, TypeError, ValueError) as error:
            reason = f"vlm-aes export did not write it ({error}); name a file that it wrote"
            raise CheckpointError(file, reason) from None
        self.columns = () if self.scale is None else ("score_own",)

    def preprocess(self, image: LoadedImage) -> Bytes:
        """The (H, W, 3) levels that the graph reads; in any thread."""
        return self.preprocessing.apply(image.image)

    def score(self, inputs: Sequence[Bytes], attributes: Sequence[str] = ()) -> Scores:
        states, outputs = (np.asarray(output, np.float64) for output in self._run(np.stack(inputs)))
        if self.scale is not None:
            return Scores.from_outputs(outputs, self.model_id, self.scale, self.class_values)
        shares = outputs / outputs.sum(-1, keepdims=True)
        return Scores.checked(shares, self.model_id, states=states)


def is_exported(model: str) -> bool:
    """Whether a name is that of an exported file."""
    return model.removeprefix(_OPENVINO_PREFIX).endswith(_SUFFIX)


def load_exported(model: str) -> OnnxScorer:
    """The scorer of ``FILE.onnx``, or of ``openvino:FILE.onnx``. Raises CheckpointError for another file, or
    where the runtime is not installed."""
    file = Path(model.removeprefix(_OPENVINO_PREFIX))
    return OnnxScorer(file, openvino=model.startswith(_OPENVINO_PREFIX))


def _onnxruntime(file: Path) -> tuple[Run, dict[str, str]]:
    if find_spec("onnxruntime") is None:
        raise CheckpointError(file, "it needs onnxruntime: pip install onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has errors of its own, and many
        raise _unreadable(file, error) from None

    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return lambda images: session.run(list(GRAPH_OUTPUTS), {IMAGE_INPUT: images}), metadata


def _openvino(file: Path) -> tuple[Run, dict[str, str]]:
    for package in ("openvino", "onnx"):
        if find_spec(package) is None:
            raise CheckpointError(file, f"it needs {package}: pip install 'vlm-aes[openvino,onnx]'")
    import onnx
    import openvino

    try:
        # OpenVINO drops the metadata of an ONNX file
        entries = onnx.load(str(file), load_external_data=False).metadata_props
        metadata = {entry.key: entry.value for entry in entries}
        core = openvino.Core()
        # on a processor with bf16 it would round to that unasked
        model: Any = core.compile_model(core.read_model(str(file)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except Exception as error:
        raise _unreadable(file, error) from None

    def run(images: Bytes) -> Sequence[Any]:
        outputs = model({IMAGE_INPUT: images})
        return [outputs[name] for name in GRAPH_OUTPUTS]

    return run, metadata


def _unreadable(file: Path, error: Exception) -> CheckpointError:
    text = short_text(error)
    return CheckpointError(file, f"it cannot be read as an ONNX file ({text}); write it anew: vlm-aes export")
