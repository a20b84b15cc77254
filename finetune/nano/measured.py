"""What the measurements alone allow a critique to say: each phrase only in the band that bears it
out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .phrases import FAULT_CLAUSES

SAME_MATTER: dict[str, tuple[str, ...]] = {
    "blur": ("sharpness", "noise", "detail"),
    "underexposure": ("exposure", "shadows", "highlights", "contrast", "brightest", "noise"),
    "overexposure": ("exposure", "shadows", "highlights", "contrast", "brightest"),
    "noise": ("noise", "sharpness", "detail"),
    "tilt": ("tilt",),
    "compression": ("compression", "sharpness", "noise", "detail"),
}
"""What is not measured again in words where a fault already says it."""

_AT = {
    "top": "at the top", "bottom": "at the bottom", "left": "on the left", "right": "on the right",
    "centre": "in the centre", "upper left": "in the upper left",
    "upper right": "in the upper right", "lower left": "in the lower left",
    "lower right": "in the lower right",
}  # fmt: skip


_LIT_STEPS = {
    # mostly the sky, where no subject can be put
    "top": "{{{{darken|hold back|tone down}} the bright part {at}{{ a little|}}"
    "|{{lift|open up}} the {{lower half|lower part}} {{a little|by half a stop}}"
    "|give the {{lower half|lower part}} {{a little|some}} more light"
    "|{{crop|trim}} {{a little|some}} of the bright part {at}|leave out some of the bright part"
    " {at}}}",
    "bottom": "{{{{darken|hold back|tone down}} the bright part {at}{{ a little|}}"
    "|{{crop|trim}} {{a little|some}} of the bright part {at}}}",
    # the light is where the eye should go: it is the rest that can be brought to it
    **dict.fromkeys(
        ("left", "right"),
        "{{{{lift|open up}} the {{darker|other}} side {{a little|by half a stop}}"
        "|give the {{darker|other}} side {{a little|some}} more light"
        "|crop {{a little|some}} of the darker side}}",
    ),
    "else": "{{darken|tone down}} the edges a little",
}  # fmt: skip
"""What to do with the brightest part, by where it lies."""


@dataclass(frozen=True)
class Point:
    """One thing to say.

    Attributes:
        aspect: what it is about.
        polarity: 1 praise, -1 fault, 0 a plain observation.
        weight: how strong its evidence is.
        clause: with a subject and a verb.
        remedy: what to do about it, or what would take it further.
        reason: what follows from it, beginning with "so" or "which"; for what is not a fault.
        measured: whether a measurement bears it out.
    """

    aspect: str
    polarity: int
    weight: float
    clause: str
    remedy: str = ""
    reason: str = ""
    measured: bool = False


def measured_points(bands: dict[str, str], score: float, fault: str | None) -> list[Point]:
    """Points from the bands of :mod:`vlm_aes.facts`; none where nothing was measured.

    The told band decides, so that a phrase never contradicts what the model was told.

    Args:
        score: 0 to 100; the same fact is a virtue in a good photo and a fault in a poor one.
        fault: of a spoiled copy, whose own matter is left to its own words.
    """
    if not bands:
        return []
    points: list[Point] = []
    silenced = SAME_MATTER.get(fault or "", ())

    def add(
        aspect: str, polarity: int, weight: float, clause: str, remedy: str = "", reason: str = ""
    ) -> None:
        if aspect not in silenced:
            points.append(Point(aspect, polarity, weight, clause, remedy, reason, measured=True))

    exposure = bands["exposure"]
    if exposure == "very dark":
        add("exposure", -1 if score < 55 else 0, 1.8,
            "{it is very dark|most of the frame {lies in|sinks into} darkness"
            "|the exposure is very low|darkness {rules|fills} the frame}",
            FAULT_CLAUSES["underexposure"][1] if score < 50 else
            "{{open|lift} the shadows a little|lift the {lower|deep} tones a little}",
            "{which sets a quiet key|so what is lit stands out|which gives it weight}")  # fmt: skip
    elif exposure == "dark":
        add("exposure", -1 if score < 50 else 0, 0.7,
            "{it is {low in key|kept low in key}|the exposure is low"
            "|the tones are {deep|low}|{deep|low} tones {prevail|set the key}}",
            "{give it a little more exposure|lift the {lower|deep} tones a little"
            "|open up the exposure a little}",
            "{which sets a quiet key|so what is lit stands out|which gives it weight}")  # fmt: skip
    elif exposure == "well exposed":
        add("exposure", 1, 0.15, "{the exposure is {right|well judged|on the mark|well chosen}"
            "|it is {well|evenly|properly} exposed|{bright and deep tones|the tones} are {well"
            " exposed|rightly exposed}}",
            reason="{so both ends keep their detail|which keeps every part readable}")  # fmt: skip
    elif exposure == "very bright":
        add("exposure", -1 if score < 60 else 0, 1.6,
            "{it is very bright|the whole frame is very bright|the exposure is very high"
            "|very bright tones {rule|fill} the frame}",
            FAULT_CLAUSES["overexposure"][1])  # fmt: skip
    elif exposure == "bright":
        add(
            "exposure",
            0,
            0.5,
            "{it is {bright|high in key|brightly kept}|the tones are bright|bright tones prevail}",
            "{hold back a little exposure|{darken|bring down} the bright parts a little}",
            "{which makes it airy|which keeps it light|so it feels open}",
        )

    if bands["highlights_clipped"] in ("much", "very much"):
        add("highlights", -1 if score < 60 else 0, 1.2,
            "{the highlights are {blown|burnt out|clipped}"
            "|{large|bright} areas {are washed out|have lost all detail|are pure white}}",
            FAULT_CLAUSES["overexposure"][1])  # fmt: skip
    if bands["shadows_clipped"] in ("much", "very much"):
        add("shadows", -1 if score < 52 else 0, 0.8,
            "{the shadows {close up|are pure black|hold no detail}"
            "|large areas {are black|fall into black}}",
            "{lift the shadows|keep some detail in the shadows"
            "|open the shadows a little}")  # fmt: skip

    contrast = bands["contrast"]
    if contrast in ("low", "very low"):
        # what is dark already has no need of deeper blacks
        ends = "lift the {lighter|brighter} tones" if "dark" in exposure else (
            "deepen the {blacks|shadows}"
        )  # fmt: skip
        add("contrast", -1 if score < 58 else 0, 0.7, "{the contrast is {low|slight|gentle}"
            "|the tones are {muted|close together|low in contrast}"
            "|{bright and deep tones|all tones} lie close together}",
            f"{{add some contrast|raise the contrast{{ a little|}}|{ends}}}",
            "{which keeps it soft|so it stays quiet|which suits a gentle scene}")  # fmt: skip
    elif contrast == "high":
        if score > 50:
            add("contrast", 1, 0.6, "{the contrast is bold|{strong|high} contrast {gives it punch"
                "|shapes it}|bright and deep tones are well set off}",
                "{soften the contrast a little|open the {deepest |}shadows a little}",
                "{so the shapes read at once|which separates the forms"
                "|which gives the shapes an edge}")  # fmt: skip
        else:
            add("contrast", 0, 0.4, "{the contrast is {strong|high}|bright and deep tones lie far"
                " apart|the tones span a wide range}",
                "{soften the contrast{ a little|}|open the shadows a little}",
                "{so the shapes read at once|which makes it hard}")  # fmt: skip

    sharpness = bands["sharpness"]
    if sharpness == "blurred":
        add("sharpness", -1, 1.4, *FAULT_CLAUSES["blur"])
    elif sharpness == "soft":
        add("sharpness", -1 if score < 62 else 0, 0.8,
            "{nothing is {really|quite} sharp|{fine detail|crispness} is {lacking|missing}"
            "|{edges|textures} {lack bite|are not quite sharp}}",
            FAULT_CLAUSES["blur"][1])  # fmt: skip
    elif sharpness == "very sharp":
        add("sharpness", 1, 0.25, "{fine detail is {crisp|well resolved|finely drawn}"
            "|the focus is {crisp|precise}|it is {very sharp|crisp where it counts}"
            "|{edges|textures} are {crisp|very sharp}}",
            reason="{so {textures can be felt|every texture reads|it bears a large print}"
            "|which rewards a closer look}")  # fmt: skip
    elif sharpness == "sharp":
        add("sharpness", 1, 0.12, "{it is sharp enough|the focus is {sound|fine|sharp}"
            "|{the detail|what matters} is sharp}")  # fmt: skip

    noise = bands["noise"]
    if noise in ("noisy", "very noisy"):
        add("noise", -1, 1.4, *FAULT_CLAUSES["noise"])
    elif noise == "clean" and score > 45:
        add("noise", 1, 0.12, "{the surfaces|smooth areas|even tones} are {clean|smooth|pure}")
    if bands["blocking"] == "heavy":
        add("compression", -1, 1.4, *FAULT_CLAUSES["compression"])

    _colour(bands, score, add)
    _places(bands, score, add)
    tilt = bands["tilt"]
    if tilt in ("tilted", "strongly tilted"):
        add("tilt", -1, 1.4, *FAULT_CLAUSES["tilt"])
    elif tilt == "slightly tilted":
        add("tilt", -1 if score < 60 else 0, 0.5, "{the horizon is slightly off|it leans a little"
            "|it is not quite level}",
            FAULT_CLAUSES["tilt"][1])  # fmt: skip
    elif tilt == "level":
        add("tilt", 1, 0.25, "{the lines are {straight|upright|true}"
            "|the camera is held {straight|true}}",
            reason="{so it stands firmly|which steadies it}")  # fmt: skip
    return points


def _colour(bands: dict[str, str], score: float, add: Callable[..., None]) -> None:
    colour, hue = bands["colourfulness"], bands["hue"]
    if colour == "black and white":
        add("color_measured", 1 if score > 50 else 0, 1.2,
            "{black and white {suits it|simplifies the scene|puts the weight on form and tone}"
            "|without colour, {tone and shape|light and form} {carry it|do the work}}",
            "{deepen the blacks|work the {blacks|whites} until the shapes stand apart}",
            "{so form has to speak|which leaves light and shape alone}")  # fmt: skip
    elif colour == "muted":
        add("color_measured", 0 if score > 45 else -1, 0.8,
            "{the colours are {muted|restrained|subdued|quiet}"
            "|the palette is {quiet|restrained|muted|subdued}}",
            "{{a little|some} more colour would help|lift the colours a little"
            "|make the colours a little {stronger|warmer}}",
            "{so tone and shape lead|which keeps it calm|which suits a quiet scene}")  # fmt: skip
    elif colour == "vivid":
        where = f", {{led by|with a lot of}} {hue}" if hue != "none" else ""
        add("color_measured", 1 if score > 45 else 0, 1.1,
            f"{{the colours are {{vivid|rich|strong}}{where}|{{vivid|rich}} colour"
            f" {{lifts|fills|carries}} the frame}}",
            # who praises strong colours does not take them back
            "{tone the colours down {a little|}|calm the colours a little}" if score < 56 else "",
            "{which catches the eye at once|so it is lively from the first look"
            "|which gives it energy}")  # fmt: skip
    elif hue != "none":
        add(
            "color_measured",
            1 if score > 50 else 0,
            0.9,
            f"{{{hue} {{tones|hues}} {{lead|dominate|run through it}}"
            f"|the palette {{favours|is built on|turns on}} {hue}}}",
            "",
            "{which sets the key|which ties the parts together}",
        )
    cast = bands["cast"]
    if cast.startswith("strongly"):
        name = cast.split()[-1]
        add("cast", -1 if score < 50 else 0, 1.0,
            f"{{a {{strong|heavy}} {name} cast {{lies over everything|covers the frame}}"
            f"|everything has a {name} cast}}",
            "{correct the white balance|set the white balance anew"
            f"|take the {name} cast out}}",
            f"{{which sets {{one|a single}} mood|so all is {name}}}")  # fmt: skip
    elif cast in ("warm", "cool"):
        add("cast", 1 if score > 50 else 0, 0.6,
            f"{{the tone is {cast}|{cast} tones {{set the mood|run through it}}"
            f"|{{it is kept|the colours are}} {cast}}}",
            "{try a {neutral|cleaner} white balance beside this one"
            "|shift the white balance a little}",
            "{which suits the mood|so the parts belong together}")  # fmt: skip


def _places(bands: dict[str, str], score: float, add: Callable[..., None]) -> None:
    side = bands["brightest"]
    if side in _AT:
        # the sky, mostly, which is no discovery
        add("brightest", 1 if score > 56 else 0, 0.55 if side == "top" else 0.8,
            f"{{the light {{gathers|lies|is strongest}} {_AT[side]}"
            f"|{{it is|the frame is}} brightest {_AT[side]}"
            f"|the brightest part {{lies|sits}} {_AT[side]}}}",
            _LIT_STEPS.get(side, _LIT_STEPS["else"]).format(at=_AT[side]),
            "{so the eye goes there first|which is where the eye lands|so the look begins there"
            "|which draws the eye}")  # fmt: skip
    spot = bands["detail"]
    if spot in _AT:
        add(
            "detail",
            1 if score > 52 else 0,
            1.0,
            f"{{the finest detail {{sits|lies|is}} {_AT[spot]}|detail gathers {_AT[spot]}}}",
            f"{{{{crop|move}} closer to the detail {_AT[spot]}"
            f"|give the detail {_AT[spot]} more room}}",
            "{and the rest stays calm|which leaves the rest quiet}",
        )
    elif spot == "everywhere":
        add("detail", -1 if score < 50 else 0, 0.15,
            "{{the detail|fine detail|the finest detail} {gathers|lies} in no {one|single} place"
            "|no {one|single} part holds the detail}",
            "",
            "{so the eye wanders|so nothing leads}" if score < 58 else "")  # fmt: skip
