"""One photo of a visitor, and its assessment so far."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessment, PreparedImage
from vlm_aes.critique.check import claims
from vlm_aes.critique.generate import Critique
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.demo.uploads import shown_name
from vlm_aes.explain.explanation import Explanation
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import read_file
from vlm_aes.suggest.engine import Suggestion

_SETTLED_SIDE_PX = 480
"""Long side in pixels of a photo that stays in memory."""
_STREAM_INTERVAL_S = 0.12
"""Seconds between two updates of a text."""


@dataclass
class ImageSession:
    """One photo and the results for it; each step adds one.

    Attributes:
        name: as its sender may read it.
        assessment: with facts and attributes, later with the critique.
        prepared: for the model; None where the photo could not be opened.
        heat: occlusion map, points that each part adds.
    """

    name: str
    assessment: Assessment
    prepared: PreparedImage | None = None
    heat: NDArray[np.float64] | None = None
    critique: Critique | None = None
    suggestions: list[Suggestion] | None = None

    @property
    def image(self) -> Image.Image:
        """The photo, upright."""
        assert self.prepared is not None
        return self.prepared.loaded.image

    def settle(self) -> None:
        """Free the memory of all that is on the page already; a small photo stays."""
        if self.prepared is not None:
            small = self.image.copy()
            small.thumbnail((_SETTLED_SIDE_PX, _SETTLED_SIDE_PX))
            loaded = replace(self.prepared.loaded, image=small, native=None)
            self.prepared = replace(self.prepared, loaded=loaded, pixels=None)
        self.heat = None

    @property
    def explanation(self) -> Explanation:
        """The results so far, as ``vlm-aes explain`` has them."""
        checked = claims(self.assessment.critique or "", self.assessment.facts)
        return Explanation(replace(self.assessment, suggestions=self.suggestions or []), checked)


class OpenSessions:
    """The photo of each visitor, whose memory is freed when the visitor leaves."""

    def __init__(self) -> None:
        self._sessions: WeakValueDictionary[str, ImageSession] = WeakValueDictionary()

    def hold(self, visitor: str | None, session: ImageSession) -> None:
        """A visitor has a photo now, instead of any other."""
        if visitor:
            self._sessions[visitor] = session

    def leave(self, visitor: str | None) -> None:
        """A visitor is gone, perhaps to come back: a small photo stays."""
        session = self._sessions.pop(visitor or "", None)
        if session is not None:
            session.settle()


def open_session(model: SharedAssessor, path: str, name: str | None = None) -> ImageSession:
    """Open and rate a photo. One that cannot be rated has an assessment with ``error``."""
    name = name or shown_name(path)
    prepared: PreparedImage | ImageError | bytes = read_file(Path(path))
    if isinstance(prepared, bytes):
        prepared = model.prepare(prepared, rationale=model.writes, facts=True, suffix=Path(path).suffix.lower())
    if isinstance(prepared, ImageError):
        return ImageSession(name, model.error_assessment(prepared, name))
    try:
        assessment = model.score_prepared([prepared], attributes=True)[0]
    except (RuntimeError, MemoryError):
        error = ImageError("model", "try a smaller copy", prepared.loaded.sha256)
        return ImageSession(name, model.error_assessment(error, name))
    return ImageSession(name, replace(assessment, path=name), prepared)


def add_critique(model: SharedAssessor, session: ImageSession, on_text: Callable[[str], None] | None = None) -> None:
    """Add the critique, checked, where there is a model to write one; ``on_text`` gets drafts of it."""
    a = session.assessment
    if session.prepared is None or a.score is None or a.critique is not None or not model.writes:
        return
    (session.critique,) = model.critiques([session.prepared], [a.score], [a.level], on_text)
    session.assessment = replace(a, critique=session.critique.text, subject=session.critique.subject)


def stream_critique(model: SharedAssessor, session: ImageSession) -> Iterator[str]:
    """Add the critique, and give its drafts on the way, of which not every sentence may stay."""
    texts: queue.SimpleQueue[str] = queue.SimpleQueue()
    result: Future[None] = Future()

    def write() -> None:
        try:
            add_critique(model, session, texts.put)
            result.set_result(None)
        except BaseException as error:  # raised where it is waited for
            result.set_exception(error)

    threading.Thread(target=write, name="critique", daemon=True).start()
    while not result.done():
        text = ""
        while not texts.empty():
            text = texts.get()
        if text:
            yield text
        time.sleep(_STREAM_INTERVAL_S)
    result.result()


def add_occlusion_map(model: SharedAssessor, session: ImageSession) -> None:
    """Add the occlusion map."""
    if session.prepared is not None and session.heat is None:
        session.heat = model.heat(session.image)
