"""One picture in a visitor's hands, and what is known of it so far."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessment, Seen
from vlm_aes.critique.check import claims
from vlm_aes.demo.model import SharedAssessor
from vlm_aes.demo.uploads import shown_name
from vlm_aes.explain.explanation import Explanation
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import read_file
from vlm_aes.suggest.engine import Advice

_KEPT = 480
"""Long side in pixels of a picture that stays with its visitor."""
_PACE = 0.12
"""Seconds between two looks at a text that is being written."""


@dataclass
class Looked:
    """What is known of one picture; each step adds to it.

    Attributes:
        name: as its sender may read it.
        assessment: with facts and attributes; with the critique once it is written.
        seen: for the model; nothing where the picture could not be opened.
        heat: points that each part adds, once it is known.
        advice: edits that helped, once they were tried.
    """

    name: str
    assessment: Assessment
    seen: Seen | None = None
    heat: NDArray[np.float64] | None = None
    advice: list[Advice] | None = field(default=None)

    @property
    def image(self) -> Image.Image:
        """The picture, upright."""
        assert self.seen is not None
        return self.seen.picture.image

    def settle(self) -> None:
        """Let go of all that is large, once it is on the page: only a small picture is kept."""
        if self.seen is not None:
            small = self.image.copy()
            small.thumbnail((_KEPT, _KEPT))
            picture = replace(self.seen.picture, image=small, native=None)
            self.seen = replace(self.seen, picture=picture, pixels=None)
        self.heat = self.advice = None

    @property
    def explanation(self) -> Explanation:
        """What is known so far, as ``vlm-aes explain`` has it."""
        said = claims(self.assessment.critique or "", self.assessment.facts)
        return Explanation(self.assessment, said, advice=self.advice or [])


class Visits:
    """The picture in each visitor's hands, so that it is let go of when the visitor leaves."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[str, Looked] = WeakValueDictionary()

    def hold(self, visitor: str | None, looked: Looked) -> None:
        """A visitor has a picture now, instead of any other."""
        if visitor:
            self._held[visitor] = looked

    def leave(self, visitor: str | None) -> None:
        """A visitor is gone, perhaps to come back: a small picture stays."""
        looked = self._held.pop(visitor, None) if visitor else None
        if looked is not None:
            looked.settle()


def look(model: SharedAssessor, path: str, name: str | None = None) -> Looked:
    """Open and rate a picture. One that cannot be rated has an assessment with ``error``."""
    name = name or shown_name(path)
    data = read_file(Path(path))
    if isinstance(data, ImageError):
        return Looked(name, model.refused(data, name))
    seen = model.see(data, rationale=model.writes, facts=True, suffix=Path(path).suffix.lower())
    if isinstance(seen, ImageError):
        return Looked(name, model.refused(seen, name))
    try:
        assessment = model.score_prepared([seen], attributes=True)[0]
    except (RuntimeError, MemoryError):
        picture = seen.picture
        error = ImageError("model", "try a smaller copy", picture.sha256)
        return Looked(name, model.refused(error, name))
    return Looked(name, replace(assessment, path=name), seen)


def write_critique(
    model: SharedAssessor, looked: Looked, heard: Callable[[str], None] | None = None
) -> None:
    """Add the critique, checked, where there is a model to write one.

    Args:
        heard: told what is written before it is checked.
    """
    a = looked.assessment
    if looked.seen is None or a.score is None or a.critique is not None or not model.writes:
        return
    text = model.critiques([looked.seen], [a.score], [a.level], heard)[0]
    looked.assessment = replace(a, critique=text)


def hear_critique(model: SharedAssessor, looked: Looked) -> Iterator[str]:
    """Add the critique, and give what is written on the way, which may not stand."""
    said: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

    def write() -> None:
        try:
            write_critique(model, looked, said.put)
            said.put(None)
        except BaseException as error:  # raised where it is waited for
            said.put(error)

    threading.Thread(target=write, name="critique", daemon=True).start()
    while (text := said.get()) is not None:
        while not said.empty() and isinstance(text, str):
            newer = said.get()
            if newer is None:
                return
            text = newer
        if isinstance(text, BaseException):
            raise text
        yield text
        time.sleep(_PACE)


def find_heat(model: SharedAssessor, looked: Looked) -> None:
    """Add the heat map."""
    if looked.seen is not None and looked.heat is None:
        looked.heat = model.heat(looked.image)


def try_advice(model: SharedAssessor, looked: Looked) -> None:
    """Add the edits that helped when they were tried."""
    if looked.seen is not None and looked.advice is None:
        looked.advice = model.advice(looked.image, looked.assessment.facts)
