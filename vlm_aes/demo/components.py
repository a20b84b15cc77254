"""Assessments as pieces of the page."""

import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessment
from vlm_aes.critique.check import CONTRADICTED, NOT_MEASURABLE, SUPPORTED, claims
from vlm_aes.demo.image_session import ImageSession
from vlm_aes.demo.uploads import refusal
from vlm_aes.explain.occlusion import drawn
from vlm_aes.output.fact_overlay import draw_facts
from vlm_aes.output.html.components import data_uri, sized, templates
from vlm_aes.ratings import scale
from vlm_aes.stats.calibration import Calibration
from vlm_aes.suggest.edits import apply_edit
from vlm_aes.suggest.engine import Suggestion

VIEW_SIDE_PX = 1200
DRAWING_SIDE_PX = 560

_WARNINGS = {
    "damaged": "Part of this file is lost. What is left was rated.",
    "blank": "There is next to nothing in this photo.",
    "not_a_photo": "This looks drawn, written or rendered; the model knows photographs.",
    "out_of_domain": "It looks unlike the photos that the model was made for.",
}
_VERDICTS = (
    (SUPPORTED, "✓ {} agrees with what was measured", "✓ {} agree with what was measured"),
    (CONTRADICTED, "✗ {} does not", "✗ {} do not"),
    (NOT_MEASURABLE, "{} cannot be measured and is an opinion", "{} cannot be measured and are an opinion"),
)
"""Verdict on claims, with the words for one and for several."""
_TEMPLATES = templates(Path(__file__).parent)


def render(name: str, *values: Any, **named: Any) -> str:
    """A macro of ``components.html``, filled."""
    names = {"warnings": _WARNINGS, "key": secrets.token_hex(4)}
    module = _TEMPLATES.get_template("components.html").make_module(names)
    return str(getattr(module, name)(*values, **named))


def views(name: str, image: Image.Image, a: Assessment, heat: NDArray[np.float64] | None = None) -> str:
    """The photo; with what was measured on it, and its occlusion map where there is one."""
    small = sized(image, DRAWING_SIDE_PX)
    tilt = a.facts.get("tilt")
    return render(
        "views",
        name,
        data_uri(sized(image, VIEW_SIDE_PX)),
        measured=data_uri(draw_facts(small, a.facts)) if a.facts else "",
        heat="" if heat is None else data_uri(drawn(small, heat)),
        tilt=tilt is not None and tilt.value is not None,
    )


def critique(a: Assessment) -> str:
    """The critique with its checked claims marked."""
    text = a.critique or ""
    checked = claims(text, a.facts)
    parts, at = [], 0
    for claim in checked:
        start = text.find(claim.text, at)
        if start >= 0 and claim.verdict != NOT_MEASURABLE:
            parts.append({"text": text[at:start], "verdict": "", "fact": ""})
            parts.append({"text": claim.text, "verdict": claim.verdict, "fact": claim.fact.replace("_", " ")})
            at = start + len(claim.text)
    parts.append({"text": text[at:], "verdict": "", "fact": ""})
    counts = Counter(claim.verdict for claim in checked)
    words = [(one if counts[v] == 1 else many).format(counts[v]) for v, one, many in _VERDICTS if counts[v]]
    key = f"Of {len(checked)} {'claim' if len(checked) == 1 else 'claims'}: {'; '.join(words)}."
    return render("critique", parts, key if checked else "")


def words(a: Assessment) -> str:
    """The five words with their probabilities, as bars."""
    rows = [{"name": word, "share": 100 * p, "value": f"{p:.1%}"} for word, p in a.probabilities.items()]
    return render("bars", rows, "The five words")


def details(a: Assessment) -> str:
    """Attributes and facts."""
    attributes = [
        {
            "name": name.replace("_", " "),
            "share": value,
            "value": f"{value:.0f}",
            "residual": f"{a.residuals[name]:+.1f}" if name in a.residuals else "",
        }
        for name, value in a.attributes.items()
    ]
    facts = [
        {
            "name": f.name.replace("_", " "),
            "band": f.band,
            "value": "" if f.value is None else f"{f.value:.2f} {f.unit.replace('_', ' ')}",
        }
        for f in a.facts.values()
    ]
    return render("details", a, attributes, facts)


def suggestions(edits: Sequence[Suggestion], image: Image.Image) -> str:
    """Each suggested edit, before and after, and what to do next time; empty where there is nothing."""
    small = sized(image, DRAWING_SIDE_PX)
    shown = [
        {"text": s.text, "verdict": s.verdict, "image": data_uri(apply_edit(small, s.edit)) if s.tried else ""}
        for s in edits
    ]
    return render("suggestions", shown, data_uri(small)) if shown else ""


def arithmetic(name: str, image: Image.Image, a: Assessment, question: str, fitted: Calibration | None) -> str:
    """How the score of a photo came about."""
    terms = [
        {"word": word, "p": p, "weight": 100 * weight, "adds": 100 * p * weight}
        for (word, p), weight in zip(a.probabilities.items(), scale.LEVEL_WEIGHTS, strict=True)
    ]
    return render("arithmetic", a, terms, question, name, data_uri(sized(image, 320)), fitted)


def explanation(session: ImageSession) -> str:
    """Everything that is known of a photo so far, in one piece."""
    a = session.assessment
    if session.prepared is None:
        return render("refused", session.name, refusal(a.error))
    text = critique(a) if a.critique is not None else render("waiting", "Writing the critique")
    photo = views(session.name, session.image, a, session.heat)
    verdict = render("verdict", a) + text + words(a)
    return f'<article class="opened" tabindex="-1"><div>{photo}</div><div>{verdict}</div>{details(a)}</article>'
