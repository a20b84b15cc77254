"""What the camera wrote about one file: when, with which exposure, and in which set of shots."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Capture:
    """What the camera wrote about one file, read without decoding pixels. Every field may be unknown.

    Attributes:
        time_s: seconds of the camera's own clock, with sub-seconds where they are written.
        whole_seconds: whether no sub-second is written.
        body: make, model and serial number; empty where unknown.
        exposure_ev: ``log2(N^2 / t) - log2(ISO / 100)``; a larger value lets in less light.
        bias_ev: exposure compensation, in stops.
        exposure_s: exposure time, in seconds.
        focal_length_mm: focal length of the lens, in millimetres.
        set_kind: the set of shots that the camera names: empty, or one of bracket, wb_bracket, focus_stack,
            pixel_shift, hdr, panorama, timelapse.
        set_shot: number of the shot in its set, from 1.
        set_size: number of shots of its set.
        burst_id: identifier of the burst that a phone gives.
        content_id: identifier that the still and the film of a Live Photo share.
        sharp_place: place of the sharpest detail, as shares of width and height. The reader leaves it empty.
    """

    time_s: float | None = None
    whole_seconds: bool = True
    body: str = ""
    exposure_ev: float | None = None
    bias_ev: float | None = None
    exposure_s: float | None = None
    focal_length_mm: float | None = None
    set_kind: str = ""
    set_shot: int | None = None
    set_size: int | None = None
    burst_id: str = ""
    content_id: str = ""
    sharp_place: tuple[float, float] | None = None


def read_capture(path: str) -> Capture:
    """What the camera wrote about the file at ``path``; unknown fields where it is damaged or says nothing."""
    return Capture()
