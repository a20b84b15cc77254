"""One photo in a visitor's hands, and what is known of it so far."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessment, PreparedImage
from vlm_aes.critique.check import claims
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.demo.uploads import shown_name
from vlm_aes.explain.explanation import Explanation
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import read_file
from vlm_aes.suggest.engine import Suggestion

_KEPT_SIDE_PX = 480
"""Long side in pixels of a photo that stays with its visitor."""
_STREAM_INTERVAL_S = 0.12
"""Seconds between two looks at a text that is being written."""


@dataclass
class ImageSession:
    """What is known of one photo; each step adds to it.

    Attributes:
        name: as its sender may read it.
        assessment: with facts and attributes; with the critique once it is written.
        prepared: for the model; nothing where the photo could not be opened.
        heat: points that each part adds, once it is known.
        suggestions: edits that were found better, once they were tried.
    """

    name: str
    assessment: Assessment
    prepared: PreparedImage | None = None
    heat: NDArray[np.float64] | None = None
    suggestions: list[Suggestion] | None = None

    @property
    def image(self) -> Image.Image:
        """The picture, upright."""
        assert self.prepared is not None
        return self.prepared.loaded.image

    def settle(self) -> None:
        """Let go of all that is large, once it is on the page: only a small photo is kept."""
        if self.prepared is not None:
            small = self.image.copy()
            small.thumbnail((_KEPT_SIDE_PX, _KEPT_SIDE_PX))
            picture = replace(self.prepared.loaded, image=small, native=None)
            self.prepared = replace(self.prepared, loaded=picture, pixels=None)
        self.heat = None

    @property
    def explanation(self) -> Explanation:
        """What is known so far, as ``vlm-aes explain`` has it."""
        said = claims(self.assessment.critique or "", self.assessment.facts)
        return Explanation(replace(self.assessment, suggestions=self.suggestions or []), said)


class OpenSessions:
    """The photo in each visitor's hands, so that it is let go of when the visitor leaves."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[str, ImageSession] = WeakValueDictionary()

    def hold(self, visitor: str | None, session: ImageSession) -> None:
        """A visitor has a photo now, instead of any other."""
        if visitor:
            self._held[visitor] = session

    def leave(self, visitor: str | None) -> None:
        """A visitor is gone, perhaps to come back: a small photo stays."""
        session = self._held.pop(visitor, None) if visitor else None
        if session is not None:
            session.settle()


def open_session(model: SharedAssessor, path: str, name: str | None = None) -> ImageSession:
    """Open and rate a picture. One that cannot be rated has an assessment with ``error``."""
    name = name or shown_name(path)
    data = read_file(Path(path))
    if isinstance(data, ImageError):
        return ImageSession(name, model.error_assessment(data, name))
    suffix = Path(path).suffix.lower()
    prepared = model.prepare(data, rationale=model.writes, facts=True, suffix=suffix)
    if isinstance(prepared, ImageError):
        return ImageSession(name, model.error_assessment(prepared, name))
    try:
        assessment = model.score_prepared([prepared], attributes=True)[0]
    except (RuntimeError, MemoryError):
        error = ImageError("model", "try a smaller copy", prepared.loaded.sha256)
        return ImageSession(name, model.error_assessment(error, name))
    return ImageSession(name, replace(assessment, path=name), prepared)


def add_critique(model: SharedAssessor, session: ImageSession, heard: Callable[[str], None] | None = None) -> None:
    """Add the critique, checked, where there is a model to write one.

    Args:
        heard: told what is written before it is checked.
    """
    a = session.assessment
    if session.prepared is None or a.score is None or a.critique is not None or not model.writes:
        return
    text = model.critiques([session.prepared], [a.score], [a.level], heard)[0]
    session.assessment = replace(a, critique=text)


def stream_critique(model: SharedAssessor, session: ImageSession) -> Iterator[str]:
    """Add the critique, and give what is written on the way, which may not stand."""
    said: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

    def write() -> None:
        try:
            add_critique(model, session, said.put)
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
        time.sleep(_STREAM_INTERVAL_S)


def add_occlusion_map(model: SharedAssessor, session: ImageSession) -> None:
    """Add the occlusion map."""
    if session.prepared is not None and session.heat is None:
        session.heat = model.heat(session.image)


def add_suggestions(model: SharedAssessor, session: ImageSession) -> None:
    """Add the edits that helped when they were tried."""
    if session.prepared is not None and session.suggestions is None:
        session.suggestions = model.suggestions(session.prepared)
