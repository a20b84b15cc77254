"""What the measurements alone allow a critique to say: each phrase only in the band that bears it
out."""

from __future__ import annotations

from .voice import FAULT_CLAUSES, Point, Seen

SAME_MATTER: dict[str, tuple[str, ...]] = {
    "blur": ("sharpness", "noise"),
    "underexposure": ("exposure", "shadows", "highlights"),
    "overexposure": ("exposure", "shadows", "highlights"),
    "noise": ("noise", "sharpness"),
    "tilt": ("tilt",),
    "compression": ("compression", "sharpness", "noise"),
}
"""What is not measured again in words where a fault already says it."""

_HUE = {"orange": "{warm orange|orange|earthy}", "violet": "violet"}


def measured_points(seen: Seen) -> list[Point]:
    """Points from the bands of :mod:`vlm_aes.facts`; none where nothing was measured.

    The told band decides, so that a phrase never contradicts what the model was told.
    """
    bands = seen.bands
    if not bands:
        return []
    points: list[Point] = []

    silenced = SAME_MATTER.get(seen.fault or "", ())

    def add(aspect: str, polarity: int, weight: float, clause: str, remedy: str = "") -> None:
        if aspect not in silenced:
            points.append(Point(aspect, polarity, weight, clause, remedy))

    exposure = bands["exposure"]
    if exposure == "very dark":
        add("exposure", -1, 1.1, "{it is very dark|most of the frame {lies in|sinks into} darkness"
            "|the exposure is very low}", FAULT_CLAUSES["underexposure"][1])  # fmt: skip
    elif exposure == "dark":
        add("exposure", -1, 0.6, "{it is {on the dark side|rather dark}|the exposure is low"
            "|the tones are dark}", FAULT_CLAUSES["underexposure"][1])  # fmt: skip
    elif exposure == "well exposed":
        add("exposure", 1, 0.3, "{the exposure is {right|well judged|on the mark}"
            "|it is {well|evenly} exposed}")  # fmt: skip
    elif exposure == "very bright":
        add("exposure", -1, 1.1, "{it is very bright|the whole frame is very bright"
            "|the exposure is very high}", FAULT_CLAUSES["overexposure"][1])  # fmt: skip
    elif exposure == "bright":
        add("exposure", 0, 0.3, "{it is {bright|high in key}|the tones are bright}")

    if bands["highlights_clipped"] in ("much", "very much"):
        add("highlights", -1, 1.2, "{the highlights are {blown|burnt out|clipped}"
            "|{large|bright} areas {are washed out|have lost all detail}}",
            FAULT_CLAUSES["overexposure"][1])  # fmt: skip
    if bands["shadows_clipped"] in ("much", "very much"):
        add("shadows", -1 if seen.score < 55 else 0, 0.7,
            "{the shadows {block up|are pure black|hold no detail}"
            "|large areas {are black|fall into black}}",
            "{lift the shadows|keep some detail in the shadows}")  # fmt: skip

    contrast = bands["contrast"]
    if contrast in ("low", "very low"):
        add("contrast", -1, 0.7, "{the contrast is low"
            "|the tones are {flat|muted|close together}"
            "|it looks {flat|hazy}}",
            "{add some contrast|raise the contrast{ a little|}"
            "|look for stronger light}")  # fmt: skip
    elif contrast == "high":
        add("contrast", 1 if seen.score > 50 else 0, 0.6,
            "{the contrast is {strong|high}|light and dark are {well apart|strongly set off}"
            "|the tones span a wide range}")  # fmt: skip

    sharpness = bands["sharpness"]
    if sharpness == "blurred":
        add("sharpness", -1, 1.5, *FAULT_CLAUSES["blur"])
    elif sharpness == "soft":
        add("sharpness", -1, 0.9, "{nothing is really sharp|the detail is soft"
            "|it is a little soft}",
            FAULT_CLAUSES["blur"][1])  # fmt: skip
    elif sharpness == "very sharp":
        add("sharpness", 1, 0.5, "{fine detail is {crisp|well resolved}"
            "|the focus is {crisp|precise}|it is {very sharp|crisp where it counts}}")  # fmt: skip
    else:
        add("sharpness", 1, 0.2, "{it is sharp enough|the focus is {sound|fine|on the subject}}")

    noise = bands["noise"]
    if noise in ("noisy", "very noisy"):
        add("noise", -1, 1.4, *FAULT_CLAUSES["noise"])
    elif noise == "clean" and seen.score > 45:
        add("noise", 1, 0.12, "{the surfaces are clean|there is no noise to speak of}")
    if bands["blocking"] == "heavy":
        add("compression", -1, 1.4, *FAULT_CLAUSES["compression"])

    colour, hue = bands["colourfulness"], bands["hue"]
    named = _HUE.get(hue, hue)
    if colour == "black and white":
        add("color_measured", 1 if seen.score > 50 else 0, 1.0,
            "{black and white {suits it|simplifies the scene|puts the weight on form and tone}"
            "|without colour, {tone and shape|light and form} {carry it|do the work}}")  # fmt: skip
    elif colour == "muted":
        add("color_measured", 0 if seen.score > 45 else -1, 0.5,
            "{the colours are {muted|restrained|subdued}"
            "|the palette is {quiet|restrained|muted}}",
            "{wait for light that brings the colours out"
            "|a little more colour would help}")  # fmt: skip
    elif colour == "vivid":
        where = f", {{led by|with a lot of}} {named}" if hue != "none" else ""
        add("color_measured", 1 if seen.score > 45 else 0, 0.8,
            f"{{the colours are {{vivid|rich|strong}}{where}|{{vivid|rich}} colour"
            f" {{lifts|fills|carries}} the frame}}")  # fmt: skip
    elif hue != "none":
        add("color_measured", 1 if seen.score > 50 else 0, 0.35,
            f"{{{named} {{tones|hues}} {{lead|dominate|set the tone|run through it}}"
            f"|the palette {{leans to|is built on}} {named}}}")  # fmt: skip

    cast = bands["cast"]
    if cast.startswith("strongly"):
        name = cast.split()[-1]
        add("cast", -1 if seen.score < 50 else 0, 0.8,
            f"{{a {{strong|heavy}} {name} cast {{lies over everything|covers the frame}}"
            f"|everything has a {name} cast}}",
            "{correct the white balance|set the white balance anew}")  # fmt: skip
    elif cast in ("warm", "cool"):
        add("cast", 1 if seen.score > 50 else 0, 0.4,
            f"{{the tone is {cast}|{cast} tones {{set the mood|run through it}}}}")  # fmt: skip

    tilt = bands["tilt"]
    if tilt in ("tilted", "strongly tilted"):
        add("tilt", -1, 1.4, *FAULT_CLAUSES["tilt"])
    elif tilt == "slightly tilted":
        add("tilt", -1, 0.5, "{the horizon is slightly off|it leans a little"
            "|it is not quite level}",
            FAULT_CLAUSES["tilt"][1])  # fmt: skip
    elif tilt == "level":
        add("tilt", 1, 0.2, "{the lines are {level|straight|upright}|the camera is held level}")
    return points
