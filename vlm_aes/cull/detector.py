"""Finds where faces may be: two BlazeFace nets of MediaPipe, for near and for far faces.

Bazarevsky et al. 2019, "BlazeFace". The nets were converted by ``finetune.faces.convert``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.cull.regions import PixelArray, Pixels, Points
from vlm_aes.errors import CheckpointError, short_text

MODEL_FOLDER = Path(__file__).with_name("models")
"""Folder of the converted nets."""
_SEARCHED_SIDE_PX = 1024
"""Long side down to which rows and columns are left out before a net's own copy is averaged: that is quick."""
_SCORE_LOGIT = 0.0
"""Output of a detector from which a place counts as a face: a probability of one half."""
_SAME_FACE_OVERLAP = 0.3
"""Overlap of two boxes, intersection over union, from which they are one face."""
_KEPT_POINTS = 6
"""Points that a detector gives for each face: eyes, nose, mouth, ears."""

Net = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""From (1, 3, side, side) values to the outputs of a net."""


@dataclass(frozen=True)
class Detection:
    """A place that may be a face: its box and two points in px of the image.

    Attributes:
        box: (4,) left, top, right, bottom.
        eyes: (2, 2) the eye on the left of the image and the one on its right, x first.
        score: of the detector, 0 to 1.
    """

    box: Points
    eyes: Points
    score: float


def load_net(name: str) -> Net:
    """One of the nets in :data:`MODEL_FOLDER`, run on one thread of the CPU.

    Raises:
        CheckpointError: onnxruntime or the file is missing, or the file is damaged.
    """
    file = MODEL_FOLDER / f"{name}.onnx"
    if find_spec("onnxruntime") is None:
        raise CheckpointError("faces need onnxruntime", "pip install onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has errors of its own, and many
        raise CheckpointError(f"{file}: {short_text(error)}", "install vlm-aes again") from None
    source = session.get_inputs()[0].name
    return lambda values: session.run(None, {source: values})


def net_input(pixels: PixelArray, *, signed: bool = False) -> NDArray[np.float32]:
    """(H, W, 3) pixels as the (1, 3, H, W) input of a net, 0 to 1, or -1 to 1 where ``signed``."""
    values = pixels.astype(np.float32).transpose(2, 0, 1)[None] / 255
    return np.ascontiguousarray(2 * values - 1 if signed else values)


def sigmoid(value: float) -> float:
    """Probability of a logit."""
    return float(1 / (1 + np.exp(-np.clip(value, -80, 80))))


class FaceDetector:
    """Detects faces from about 3.5% of the longer side of an image.

    Raises:
        CheckpointError: onnxruntime or one of the model files is missing.
    """

    def __init__(self) -> None:
        self._near = _Detector("face_detection_back", 256, ((16, 2), (32, 6)))
        self._far = _Detector("face_detection_full_range", 192, ((4, 1),))

    def detect(self, pixels: Pixels) -> list[Detection]:
        """Places of (H, W, 3) pixels that may be faces, the most certain first, each face once."""
        step = max(1, max(pixels.shape[:2]) // _SEARCHED_SIDE_PX)
        small = np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step])
        found = [
            Detection(detection.box * step, detection.eyes * step, detection.score)
            for net in (self._near, self._far)
            for detection in net.detect(small)
        ]
        return list(_once(sorted(found, key=lambda detection: -detection.score)))


class _Detector:
    """One net that reads the whole image on a square.

    Args:
        name: of the model file.
        side_px: of its input.
        layers: stride in px and anchors of each place, layer by layer.
    """

    def __init__(self, name: str, side_px: int, layers: tuple[tuple[int, int], ...]) -> None:
        self._net = load_net(name)
        self._side_px = side_px
        self._anchors = np.concatenate([_anchors(side_px, stride, count) for stride, count in layers])

    def detect(self, pixels: PixelArray) -> list[Detection]:
        height, width = pixels.shape[:2]
        scale = self._side_px / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        padding = ((0, self._side_px - size[1]), (0, self._side_px - size[0]), (0, 0))
        outputs = self._net(net_input(np.pad(small, padding), signed=True))
        values, logits = outputs[0][0], outputs[1][0, :, 0]
        places = np.flatnonzero(logits > _SCORE_LOGIT)
        shifts = values[places].reshape(-1, 2 + _KEPT_POINTS, 2)
        sizes = shifts[:, 1]
        points = (shifts + self._anchors[places][:, None]) / scale
        detections = []
        for point, (box_width, box_height), logit in zip(points, sizes / scale, logits[places], strict=True):
            (x, y), half = point[0], (box_width / 2, box_height / 2)
            if min(half) > 0:
                box = np.array([x - half[0], y - half[1], x + half[0], y + half[1]], np.float32)
                detections.append(Detection(box, point[2:4].astype(np.float32), sigmoid(logit)))
        return list(_merged(sorted(detections, key=lambda detection: -detection.score)))


def _anchors(side_px: int, stride: int, count: int) -> NDArray[np.float32]:
    """(n, 2) centres of the places that a layer looks at, row by row, in px of the input."""
    steps = (np.arange(side_px // stride, dtype=np.float32) + 0.5) * stride
    centres = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    return centres.repeat(count, 0)


def _merged(detections: list[Detection]) -> Iterator[Detection]:
    """One detection for each heap of overlapping ones of one net: their mean, weighted by score."""
    while detections:
        near = [other for other in detections if _overlap(detections[0].box, other.box) > _SAME_FACE_OVERLAP]
        weights = np.array([detection.score for detection in near])
        box = np.average([detection.box for detection in near], 0, weights)
        eyes = np.average([detection.eyes for detection in near], 0, weights)
        yield Detection(box.astype(np.float32), eyes.astype(np.float32), detections[0].score)
        detections = [other for other in detections if all(other is not one for one in near)]


def _once(detections: list[Detection]) -> Iterator[Detection]:
    """The detections without those that overlap a more certain one."""
    given: list[Detection] = []
    for detection in detections:
        if all(_overlap(detection.box, other.box) <= _SAME_FACE_OVERLAP for other in given):
            given.append(detection)
            yield detection


def _overlap(one: Points, other: Points) -> float:
    """Intersection over union of two boxes."""
    size = np.maximum(0, np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]))
    shared = float(size.prod())
    areas = [float((box[2:] - box[:2]).prod()) for box in (one, other)]
    return shared / (sum(areas) - shared)
