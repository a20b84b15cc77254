"""What nano learns to say: critiques composed from ratings, emotions and measured facts.

This file writes *training targets* only; at inference nano writes every token itself. A target
names two or three things, as people do, those with the strongest evidence first. Praise and fault
stand in proportion to the rating. A phrase about something measurable is only used where the
measurement bears it out.

Phrases are a small grammar: ``{a|b}`` is a choice, and choices nest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

_CHOICE = re.compile(r"\{([^{}]*)\}")


def expand(phrase: str, rng: np.random.Generator) -> str:
    """Replace every ``{a|b|c}`` by one of its choices, innermost first."""
    while match := _CHOICE.search(phrase):
        choices = match.group(1).split("|")
        phrase = (
            phrase[: match.start()]
            + choices[int(rng.integers(len(choices)))]
            + phrase[match.end() :]
        )
    return re.sub(r"\s+", " ", phrase).strip()


@dataclass(frozen=True)
class Seen:
    """What is known about one training photo.

    Attributes:
        score: aesthetic rating, 0 to 100.
        residuals: attribute to how far it lies above what the score alone predicts, in standard
            deviations.
        mood: emotion to the share of raters who felt it beyond the average photo's share, in
            standard deviations.
        bands: fact to its plain-word band, as in :mod:`vlm_aes.facts`.
        values: fact to its value.
        fault: the fault of a spoiled copy, where one was made.
    """

    score: float
    residuals: dict[str, float] = field(default_factory=dict)
    mood: dict[str, float] = field(default_factory=dict)
    bands: dict[str, str] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True)
class Point:
    """One thing to say: ``praise`` and ``fault`` are clauses with a subject and a verb."""

    aspect: str
    polarity: int
    weight: float
    clause: str
    remedy: str = ""


_PEOPLE = "{the photo|the picture|the shot|the frame}"

ATTRIBUTE_CLAUSES: dict[str, tuple[str, str, str]] = {
    "composition": (
        "{the composition {holds together|is well ordered|leads the eye|feels settled}"
        "|the framing {is clean|is deliberate|gives the subject room|is well judged}"
        "|the elements are {well placed|nicely balanced|arranged with care}}",
        "{the composition {wanders|feels unplanned|lacks a centre|is hard to read}"
        "|the framing {is casual|feels accidental|cuts without a reason|is loose}"
        "|the elements {compete|do not add up|crowd each other}}",
        "{{step closer|move in} and {leave out what does not help|give the eye one place to rest}"
        "|{wait for|look for} a simpler {background|arrangement}"
        "|decide {first |}what the photo is about and {crop to it|frame that}}",
    ),
    "color": (
        "{the colours {work well together|sit well side by side|carry the mood|are well chosen}"
        "|the palette {is pleasing|is harmonious|has character}}",
        "{the colours {do little for the scene|do not help|feel drab|clash a little}"
        "|the palette {is dull|has no direction|is unappealing}}",
        "{{try|wait for} {warmer|better|kinder} light{ for the colour|}"
        "|{a small shift of white balance|a gentler colour grade} would help"
        "|look for one colour that {leads|stands out}}",
    ),
    "light": (
        "{the light {shapes the subject|has direction|models the forms|gives it depth}"
        "|the lighting {is attractive|is well used|adds atmosphere}}",
        "{the light {is flat|is harsh|does nothing for the subject|has no direction}"
        "|the lighting {is plain|is unkind|is uninteresting}}",
        "{{come back|return} {early or late in the day|when the light is softer}"
        "|{turn|move} so that the light {falls from the side|reaches the subject}"
        "|find {softer light|some shade|a window}}",
    ),
    "depth_of_field": (
        "{the {shallow focus|depth of field|soft background} {isolates the subject"
        "|separates subject and background|keeps attention where it belongs}"
        "|focus is used {well|with intent} to {set the subject apart|create depth}}",
        "{{subject and background|near and far} {run together|are not separated}"
        "|{the depth of field|focus} does not {help the subject|single anything out}}",
        "{{open the aperture|use a wider aperture|step back and zoom in}"
        " to {soften the background|free the subject}}",
    ),
    "content": (
        "{the subject {is engaging|holds attention|is worth a look|tells a story}"
        "|there is {something to discover|a clear moment|a story} here}",
        "{the subject {is ordinary|says little|does not hold attention}"
        "|there is {little to look at|no clear moment|no story} here}",
        "{wait for {a moment|a gesture|something to happen}"
        "|{find|look for} a {stronger|clearer} subject"
        "|show {what made you stop|why it mattered}}",
    ),
    "object_emphasis": (
        "{the main subject {stands out|is clear at once|dominates as it should}"
        "|{there is no doubt|it is plain} what the photo is about}",
        "{no single subject {stands out|takes the lead}"
        "|the eye finds {no main subject|nowhere to settle}}",
        "{make one thing {larger|brighter|the clear subject}|give the main subject more weight}",
    ),
    "quality": (
        "{the technical quality is {solid|high|convincing}|it is {cleanly|carefully} made}",
        "{the technical quality is {weak|poor|below par}|it looks {careless|technically rough}}",
        "{a steadier hand and cleaner settings would help|take more care with the settings}",
    ),
}

MOOD_CLAUSES: dict[str, str] = {
    "amusement": "{it has {a sense of fun|a playful note|humour}|the mood is {playful|light}}",
    "awe": "{it has {grandeur|a sense of wonder|scale}|the mood is {majestic|awe-inspiring}}",
    "contentment": "{the mood is {calm|peaceful|warm|content}|it {feels|is} {restful|serene}}",
    "disgust": "{the subject {puts people off|is unpleasant to look at}"
    "|the mood is {off-putting|unpleasant}}",
    "excitement": "{it has {energy|drive|life}|the mood is {lively|exciting}}",
    "fear": "{the mood is {uneasy|dark|menacing}|there is {tension|unease} in it}",
    "sadness": "{the mood is {melancholy|wistful|sombre}|there is {sadness|loneliness} in it}",
}

OPENERS: dict[str, str] = {
    "excellent": "{A {striking|beautiful|memorable|superb} {photo|picture|shot}"
    "|{Outstanding|Excellent} work|This one {stays with you|stops the eye}}",
    "good": "{A {strong|pleasing|good|convincing} {photo|picture|shot}"
    "|{Good|Nicely seen|Well seen}|This one {works|works well}}",
    "fair": "{A {fair|decent|middling|reasonable} {photo|picture|shot}"
    "|{Fair|Decent} but {not more|unremarkable}|This one {is halfway there|gets by}}",
    "poor": "{A {weak|poor|disappointing|forgettable} {photo|picture|shot}"
    "|{Weak|Below average}|This one {does not work|falls short}}",
    "bad": "{A {bad|failed|very weak} {photo|picture|shot}|{Bad|Very weak}"
    "|This one {fails|does not succeed}}",
}

FAULT_CLAUSES: dict[str, tuple[str, str]] = {
    "blur": (
        "{{everything is|the whole frame is|the picture is} {blurred|out of focus|badly soft}"
        "|{blur|missed focus} {ruins|spoils|robs it of} {the detail|all detail|fine detail}}",
        "{check the focus before you press|use a faster shutter speed|hold the camera steady"
        "|focus again and take a second frame}",
    ),
    "underexposure": (
        "{it is {{badly |heavily |}underexposed|far too dark}"
        "|{underexposure|darkness} {swallows|hides} {the detail|most of the scene|the subject}}",
        "{{give it|add} {more exposure|two stops or more}|open up the exposure"
        "|{lift|raise} the exposure{ by two stops|}}",
    ),
    "overexposure": (
        "{it is {{badly |heavily |}overexposed|far too bright}"
        "|the highlights are {blown|burnt out|washed out}"
        "|overexposure {washes out|burns away} {the detail|the bright parts|the sky}}",
        "{expose for the highlights|{give it|use} {less exposure|two stops less}"
        "|{cut|reduce} the exposure}",
    ),
    "noise": (
        "{{heavy|strong|coarse} noise {covers the frame|eats the detail|spoils every surface}"
        "|it is {very|badly} {noisy|grainy}}",
        "{lower the ISO|use a lower ISO{ and a tripod|}|find more light and lower the ISO}",
    ),
    "tilt": (
        "{the {horizon|camera|whole frame} is {clearly |plainly |}tilted"
        "|{the lines lean|everything leans} to one side|it {tilts|leans} for no reason}",
        "{level the {horizon|camera}|straighten it|rotate it back until it is level}",
    ),
    "compression": (
        "{{compression|JPEG} {blocks|artefacts} {break up|cover|ruin} {the picture|the detail}"
        "|it is {over-compressed|compressed to pieces}}",
        "{save it at a higher quality|go back to the original file|export with less compression}",
    ),
}


def level_of(score: float) -> str:
    """The rating word nearest to a score of 0 to 100, on the spread that photos really have."""
    for word, below in (("bad", 20.0), ("poor", 40.0), ("fair", 56.0), ("good", 72.0)):
        if score < below:
            return word
    return "excellent"


def stops_in_words(stops: float) -> str:
    """'one stop', 'two and a half stops': a length a photographer says, to half a stop."""
    halves = max(1, round(abs(stops) * 2))
    whole, half = divmod(halves, 2)
    names = ("", "one", "two", "three", "four", "five", "six")
    if whole == 0:
        return "half a stop"
    if half:
        return f"{names[min(whole, 6)]} and a half stops"
    return "one stop" if whole == 1 else f"{names[min(whole, 6)]} stops"


def points_of(seen: Seen) -> list[Point]:
    """Everything that may be said about a photo, each with how strong its evidence is."""
    points: list[Point] = []
    if seen.fault:
        clause, remedy = FAULT_CLAUSES[seen.fault]
        points.append(Point(seen.fault, -1, 9.0, clause, remedy))
    lean = (seen.score - 50) / 18
    for name, residual in seen.residuals.items():
        praise, fault, remedy = ATTRIBUTE_CLAUSES[name]
        evidence = lean + 1.2 * residual
        if evidence > 0.25:
            points.append(Point(name, 1, evidence, praise))
        elif evidence < -0.25:
            points.append(Point(name, -1, -evidence, fault, remedy))
    feeling = max(seen.mood, key=lambda k: seen.mood[k], default=None)
    if feeling in MOOD_CLAUSES and seen.mood[feeling] > 0.8:
        polarity = -1 if feeling in ("disgust",) else (1 if seen.score > 50 else 0)
        points.append(Point("mood", polarity, 0.6 * seen.mood[feeling], MOOD_CLAUSES[feeling]))
    return points + fact_points(seen)


def fact_points(seen: Seen) -> list[Point]:
    """What the measurements alone allow to say."""
    from .measured import measured_points

    return measured_points(seen)


def _sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:] + "."


def _join(first: str, second: str, same: bool, rng: np.random.Generator) -> str:
    if same:
        links = (", and ", "; ", ", while ", " and ")
    else:
        links = (", but ", ", yet ", ", though ", "; still, ")
    return first + links[int(rng.integers(len(links)))] + second


def compose(seen: Seen, rng: np.random.Generator) -> str:
    """One critique of two or three points: different every time, true to ``seen`` every time."""
    points = points_of(seen)
    wanted = 3 if rng.random() < 0.4 else 2
    chosen: list[Point] = []
    positive_share = float(np.clip((seen.score - 30) / 35, 0.05, 0.95))
    while points and len(chosen) < wanted:
        weights = np.array(
            [
                max(p.weight, 0.05) ** 1.5
                * (
                    1.0
                    if p.polarity == 0
                    else positive_share
                    if p.polarity > 0
                    else 1 - positive_share
                )
                for p in points
            ]
        )
        pick = points[int(rng.choice(len(points), p=weights / weights.sum()))]
        if seen.fault and not chosen:
            pick = points[0]
        chosen.append(pick)
        points = [p for p in points if p.aspect != pick.aspect]
    texts = [expand(p.clause, rng) for p in chosen]
    sentences: list[str] = []
    level = level_of(seen.score)
    opener = expand(OPENERS[level], rng) if rng.random() < 0.55 or not texts else ""
    if opener and texts and rng.random() < 0.5:
        sentences.append(f"{opener}: {texts[0]}.")
        rest, kept = texts[1:], chosen[1:]
    else:
        if opener:
            sentences.append(f"{opener}.")
        rest, kept = texts, chosen
    if len(rest) >= 2 and rng.random() < 0.7:
        same = kept[0].polarity * kept[1].polarity >= 0
        sentences.append(_sentence(_join(rest[0], rest[1], same, rng)))
        rest = rest[2:]
    sentences += [_sentence(text) for text in rest]
    remedies = [p.remedy for p in chosen if p.remedy and p.polarity < 0]
    if remedies and (seen.fault or rng.random() < 0.3 + 0.5 * (seen.score < 50)):
        sentences.append(_sentence(expand(remedies[0], rng)))
    return " ".join(sentences)


FAULT_WORDS: dict[str, re.Pattern[str]] = {
    "blur": re.compile(r"blur|out of focus|missed focus|soft\b(?! (light|focus|background))", re.I),
    "underexposure": re.compile(r"underexpos|too dark|darkness", re.I),
    "overexposure": re.compile(r"overexpos|too bright|blown|burnt|washed out|washes out", re.I),
    "noise": re.compile(r"nois|grain", re.I),
    "tilt": re.compile(r"tilt|lean|level|straighten", re.I),
    "compression": re.compile(r"compress|JPEG|blocks|artefacts", re.I),
}
"""Words by which a text names each fault."""
