"""Frames of a shoot by hand, without a photo."""

from types import SimpleNamespace

from vlm_aes.cull.faces import Face
from vlm_aes.cull.frame import FrameSignals
from vlm_aes.cull.ranking import Frame
from vlm_aes.images.capture import Capture


def face(eyes="open", openness=0.35, sharpness=100.0, left=0.4, side=0.2):
    return Face((left, 0.3, left + side, 0.3 + side), 0.99, eyes, openness, sharpness, 200)


def signals(*faces, sharpness=100.0, high=0.0, low=0.0, stops=0.0, size=(600, 400)):
    return FrameSignals(tuple(faces), sharpness, high, low, stops, *size)


def frame(number, measured=None, score=50.0, warning="", time_s=None):
    name = f"IMG_{number}.jpg"
    unit = SimpleNamespace(main=f"shoot/{name}", files=(f"shoot/{name}",), kind="")
    return Frame(unit, Capture(time_s=time_s), measured, score, warning)


def frames_of(*measured, scores=None):
    scores = scores or [50.0] * len(measured)
    return [frame(i, one, score) for i, (one, score) in enumerate(zip(measured, scores, strict=True))]
