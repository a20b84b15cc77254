"""Faces of an image: where they are, whether their eyes are open, and how sharp they are.

Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs": the face mesh
refuses what is no face. The nets were converted by ``finetune.faces.convert``.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from vlm_aes.cull.detector import Detection, FaceDetector, load_net, net_input, sigmoid
from vlm_aes.cull.eyes import EyeReader
from vlm_aes.cull.regions import ImagePixels, Pixels, Region

MIN_PRESENCE = 0.97
"""Presence of the mesh from which a detection is a human face: most dogs lie under it."""
MIN_SHARPNESS_SIDE_PX = 40
"""Side of a face at native size from which its sharpness is measured."""
_CROP_PX = 192
_CROP_SIDES = 1.5
"""Side of the crop that the mesh net reads, in longer sides of the detector's box."""


@dataclass(frozen=True)
class Face:
    """One human face of an image. No identity and no embedding is kept.

    Attributes:
        box: left, top, right, bottom in shares of the image, 0 to 1.
        presence: probability of the face mesh that this is a face, 0 to 1.
        eyes: ``open``, ``closed``, or ``unknown`` where they cannot be told.
        openness: height of the opening between the lids over its width, mean of both eyes, about 0.1
            (closed) to 0.4 (wide open); None where it cannot be told.
        sharpness: variance of the Laplacian on the eyes at native size; only comparable between images of one
            group. None for a face under 40 px.
        side_px: the longer side of the box at native size.
    """

    box: tuple[float, float, float, float]
    presence: float
    eyes: str
    openness: float | None
    sharpness: float | None
    side_px: int


class FaceReader:
    """Finds the faces of images with four small nets on one thread of the CPU.

    Raises:
        CheckpointError: onnxruntime or one of the model files is missing.
    """

    def __init__(self) -> None:
        self._detector = FaceDetector()
        self._mesh = load_net("face_landmark")
        self._eyes = EyeReader()

    def read(self, image: Image.Image | Pixels) -> list[Face]:
        """The human faces of an image, or of its (H, W, 3) RGB pixels, at native size, largest first.

        Dogs, statues, most profiles and faces under about 3.5% of the longer side are left out.
        """
        pixels = ImagePixels(image) if isinstance(image, Image.Image) else image
        faces = (self._face(pixels, detection) for detection in self._detector.detect(pixels))
        return sorted((face for face in faces if face), key=lambda face: -face.side_px)

    def _face(self, pixels: Pixels, detection: Detection) -> Face | None:
        """The face at a place, or None where the mesh refuses it."""
        region = mesh_region(detection)
        values, logit = self._mesh(net_input(region.crop(pixels, _CROP_PX)))
        presence = sigmoid(float(logit.ravel()[0]))
        if presence < MIN_PRESENCE:
            return None
        mesh = region.points_in_image(values.reshape(-1, 3)[:, :2], _CROP_PX)
        eyes = self._eyes.read(pixels, mesh)
        height, width = pixels.shape[:2]
        left, top, right, bottom = np.clip(detection.box / (width, height, width, height), 0, 1).tolist()
        side_px = round(max(detection.box[2:] - detection.box[:2]))
        sharpness = eyes.sharpness if side_px >= MIN_SHARPNESS_SIDE_PX else None
        return Face((left, top, right, bottom), presence, eyes.state, eyes.openness, sharpness, side_px)


def mesh_region(detection: Detection) -> Region:
    """The square that the mesh net reads: around a face, turned so that its eyes are level."""
    middle = (detection.box[:2] + detection.box[2:]) / 2
    side_px = _CROP_SIDES * float(max(detection.box[2:] - detection.box[:2]))
    across, down = detection.eyes[1] - detection.eyes[0]
    return Region(float(middle[0]), float(middle[1]), side_px, float(np.arctan2(down, across)))
