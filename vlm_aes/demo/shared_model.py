"""One model in memory for all visitors; quick calls go before slow ones."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessment, Assessor, PreparedImage
from vlm_aes.critique.generate import Critique
from vlm_aes.errors import CheckpointError
from vlm_aes.explain.occlusion import occlusion_map
from vlm_aes.models.heads import FastScorer, load_head
from vlm_aes.models.heads.head import find_head
from vlm_aes.ratings import scale
from vlm_aes.suggest.engine import EditComparator, Suggestion

TURN_IMAGES = 8
"""Versions of one image that are rated in a turn: about a quarter of a second on two cores."""


class SharedAssessor(Assessor):
    """An assessor that many visitors use at once: calls of the model take turns."""

    def __init__(self, assessor: Assessor) -> None:
        super().__init__(assessor.rater, assessor.critic, assessor.prompt, assessor.calibration, assessor.head)
        self._turns = PriorityLock()
        self._thread = threading.local()

    @contextmanager
    def low_priority(self) -> Iterator[None]:
        """Within it, this thread lets the others go first."""
        self._thread.low_priority = True
        try:
            yield
        finally:
            self._thread.low_priority = False

    def _turn(self) -> Any:
        return self._turns.turn(quick=not getattr(self._thread, "low_priority", False))

    def score_prepared(self, *arguments: Any, **options: Any) -> list[Assessment]:
        """As :meth:`Assessor.score_prepared`, in turn."""
        with self._turn():
            return super().score_prepared(*arguments, **options)

    def critiques(self, *arguments: Any, **options: Any) -> list[Critique]:
        """As :meth:`Assessor.critiques`, in turn."""
        with self._turn():
            return super().critiques(*arguments, **options)

    def fast_scores(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """As :meth:`Assessor.fast_scores`, a turn for every few versions."""
        return self._in_turns(super().fast_scores, images)

    def model_scores(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """As :meth:`Assessor.model_scores`, a turn for every few versions."""
        return self._in_turns(super().model_scores, images)

    def _in_turns(self, score: Callable[..., Any], images: Sequence[Image.Image]) -> NDArray[np.float64]:
        starts = range(0, len(images), TURN_IMAGES)
        return np.concatenate([self._in_turn(score, images[i : i + TURN_IMAGES]) for i in starts])

    def heat(self, image: Image.Image) -> NDArray[np.float64]:
        """The occlusion map of a photo; lets others go first."""
        with self.low_priority():
            return occlusion_map(image, self.model_scores if self.head is None else self.fast_scores)

    def suggestions(self, image: PreparedImage, critique: Critique | None = None) -> list[Suggestion]:
        """As :meth:`Assessor.suggestions`; lets others go first."""
        with self.low_priority():
            return super().suggestions(image, critique)

    @property
    def edit_comparator(self) -> EditComparator | None:
        """As :attr:`Assessor.edit_comparator`, in turn."""
        comparator = super().edit_comparator
        return comparator and replace(comparator, embed=partial(self._in_turn, comparator.embed))

    def _in_turn(self, function: Callable[..., Any], images: Sequence[Image.Image]) -> Any:
        with self._turn():
            return function(images)

    def teaching_obstacle(self) -> str:
        """Why nothing can be taught on top of this model; empty where it can."""
        if isinstance(self.head, FastScorer) and self.head.residual_head is not None:
            return "This is somebody's taste already. Teach the model that it began from."
        folder = self.rater.backbone.folder if self.head is None else self.head.folder
        try:
            find_head(folder or "")
        except CheckpointError:
            return "This model has no fast head to teach. vlm-aes distill makes one; then open the page again."
        return ""

    @cached_property
    def fast_head(self) -> FastScorer:
        """The fast head that is taught on top of; loaded when it is first needed. Raises CheckpointError where there is
        none."""
        if isinstance(self.head, FastScorer):
            return self.head
        with self._turn():
            return load_head(self.rater.backbone.folder)

    def embedded(self, images: Sequence[Image.Image]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(N, D) embeddings of N photos and the crowd's (N,) scores, by the fast head."""
        head = self.fast_head
        pixels = [head.tower.pixels(image) for image in images]
        with self._turn():
            states = head.tower.embed(pixels)
            scores = scale.score(head.probabilities(states))
        return states.cpu().numpy(), scores

    @property
    def writes(self) -> bool:
        """Whether there is a model that writes critiques."""
        return self.critic is not None

    @property
    def asked(self) -> str:
        """The exact prompt of a score; empty for a fast head."""
        return "" if self.head or self.rater is None else str(self.rater.prompt_text())


class PriorityLock:
    """A lock that a quick call gets before every slow one that waits.

    A slow job takes a turn for each of its batches, so that a visitor's first score waits for one batch of
    somebody else's folder, not for the folder.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._owner: int | None = None
        self._depth = 0
        self._quick_waiting = 0

    @contextmanager
    def turn(self, *, quick: bool) -> Iterator[None]:
        """Wait for the model, and hold it; the thread that holds it may enter again."""
        me = threading.get_ident()
        with self._free:
            if self._owner != me:
                self._quick_waiting += quick
                try:
                    self._free.wait_for(lambda: self._owner is None and (quick or not self._quick_waiting))
                finally:
                    self._quick_waiting -= quick
                self._owner = me
            self._depth += 1
        try:
            yield
        finally:
            with self._free:
                self._depth -= 1
                if not self._depth:
                    self._owner = None
                    self._free.notify_all()
