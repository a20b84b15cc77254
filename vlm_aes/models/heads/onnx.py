"""An exported fast path, run by ONNX Runtime or OpenVINO; torch has no part in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import LoadedImage
from vlm_aes.models.heads.framing import Bytes, Framing
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.ratings.scale import Scale, two_hot
from vlm_aes.stats import calibration

KEY = "vlm_aes"
"""Entry of the file's metadata that says what it is."""
VERSION = 1
IMAGE, STATES, SAID = "image", "picture_embedding", "rating"
"""The graph's input and outputs; no tower has tensors of these names inside."""
SUFFIX = ".onnx"
OPENVINO = "openvino:"
"""Before a file's name: run by OpenVINO instead of ONNX Runtime."""

Run = Callable[[Bytes], tuple[Floats, Floats]]
"""(B, H, W, 3) levels to (B, D) embeddings and what the head says."""


class ExportedRater(Scorer):
    """Rates with an ONNX file that ``vlm-aes export`` wrote, as the path that it is made from.

    Args:
        file: the ``.onnx`` file.
        openvino: run it with OpenVINO.

    Raises:
        CheckpointError: for a file that is none, or where the runtime is not installed.
    """

    def __init__(self, file: Path, *, openvino: bool = False) -> None:
        self.file = file
        run, metadata = (_openvino if openvino else _onnxruntime)(file)
        self._run = run
        try:
            about = json.loads(metadata[KEY])
            if about["version"] != VERSION:
                raise CheckpointError(
                    file, f"it is of version {about['version']}, this is {VERSION}: export it anew"
                )
            self.framing = Framing.parse(about["framing"])
            self.scale = Scale(*about["scale"]) if about["scale"] else None
            self.worth = None if about["worth"] is None else np.array(about["worth"])
            worth = about["calibration"]
            self.calibration = None if worth is None else calibration.parse(json.dumps(worth))
            self.model_id = f"{about['model']}:{'openvino' if openvino else 'onnx'}"
            self.prompt_id = str(about["prompt"])
            self.needed_side = int(about["needed_side"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(file, f"vlm-aes export did not write it ({error})") from None
        self.columns = () if self.scale is None else ("score_own",)

    def read(self, picture: LoadedImage) -> Bytes:
        """The levels that the graph reads, (H, W, 3); in any thread."""
        return self.framing.apply(picture.image)

    def rate(self, looked: Sequence[Bytes], attributes: Sequence[str] = ()) -> Scores:
        """Rate pictures; see :class:`vlm_aes.models.scorer.Scorer`."""
        states, said = self._run(np.stack(looked))
        if self.scale is None:
            return Scores.checked(said / said.sum(-1, keepdims=True), self.model_id, states=states)
        if self.worth is None:
            own = said[:, 0]
            probabilities = two_hot(np.clip(self.scale.to_unit(own), 0, 1))
        else:
            own = said @ self.worth
            probabilities = said @ two_hot(self.worth)
        columns = {"score_own": [float(v) for v in own]}
        return Scores.checked(probabilities, self.model_id, columns=columns)


def is_exported(model: str) -> bool:
    """Whether a name is that of an exported file."""
    return model.removeprefix(OPENVINO).endswith(SUFFIX)


def load_exported(model: str) -> ExportedRater:
    """``FILE.onnx``, or ``openvino:FILE.onnx``.

    Raises:
        CheckpointError: for a file that is none, or where the runtime is not installed.
    """
    return ExportedRater(Path(model.removeprefix(OPENVINO)), openvino=model.startswith(OPENVINO))


def _onnxruntime(file: Path) -> tuple[Run, dict[str, str]]:
    if find_spec("onnxruntime") is None:
        raise CheckpointError(file, "it needs onnxruntime: pip install 'vlm-aes[onnx]'")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            file.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # it has errors of its own, and many
        raise _unread(file, error) from None

    def run(images: Bytes) -> tuple[Floats, Floats]:
        states, said = session.run([STATES, SAID], {IMAGE: images})
        return np.asarray(states, np.float64), np.asarray(said, np.float64)

    return run, dict(session.get_modelmeta().custom_metadata_map)


def _openvino(file: Path) -> tuple[Run, dict[str, str]]:
    for package in ("openvino", "onnx"):
        if find_spec(package) is None:
            raise CheckpointError(file, f"it needs {package}: pip install 'vlm-aes[openvino,onnx]'")
    import onnx
    import openvino

    try:
        # OpenVINO keeps no metadata of an ONNX file
        found = onnx.load(str(file), load_external_data=False).metadata_props
        metadata = {entry.key: entry.value for entry in found}
        core = openvino.Core()
        # on a processor with bf16 it would round to that unasked
        model: Any = core.compile_model(
            core.read_model(str(file)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
    except Exception as error:
        raise _unread(file, error) from None

    def run(images: Bytes) -> tuple[Floats, Floats]:
        out = model({IMAGE: images})
        return (np.asarray(out[STATES], np.float64), np.asarray(out[SAID], np.float64))

    return run, metadata


def _unread(file: Path, error: Exception) -> CheckpointError:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return CheckpointError(file, f"it cannot be read as an ONNX file ({text})")
