"""What culling takes from each photo in one decode: signals, features, and the row of its score."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessor, PreparedImage
from vlm_aes.assessor.assessment import rated_images
from vlm_aes.bulk.prefetch import PrefetchEntry, Prefetcher
from vlm_aes.bulk.select.similarity import layout, standard_embedding
from vlm_aes.bulk.select.thumbnails import COPY_SIDE_PX, Thumbnail
from vlm_aes.cull.cache import SignalCache
from vlm_aes.cull.faces import Face, FaceReader
from vlm_aes.cull.frame import FrameSignals, frame_signals
from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.images.decode import set_upright
from vlm_aes.images.formats import RAW_SUFFIXES
from vlm_aes.images.open import open_image
from vlm_aes.images.raw import embedded_preview
from vlm_aes.images.result import ImageError, LoadedImage
from vlm_aes.images.source import ImageSource
from vlm_aes.measure.input_warning import input_warning
from vlm_aes.models.heads import FastScorer
from vlm_aes.output.table import Columns, Row

MEASURES_VERSION = 2
"""Of what is measured; a change makes earlier measurements stale."""
CULL_BATCH_IMAGES = 16
"""Images of one forward pass."""


@dataclass(frozen=True)
class Measurement:
    """What is known of one file.

    Attributes:
        row: the row of its score, or with an error.
        signals: None for an error, and where they could not be measured.
        embedding, layout: as in ``ImageFeatures``; empty for an error.
        grey: of its ``Thumbnail``; empty for an error.
    """

    row: Row
    signals: FrameSignals | None = None
    embedding: NDArray[np.float16] = field(default_factory=lambda: np.zeros(0, np.float16))
    layout: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    grey: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))

    @property
    def stops(self) -> float:
        """The exposure of the signals; NaN without them."""
        return math.nan if self.signals is None else self.signals.stops

    def to_bytes(self) -> bytes:
        """As JSON, for the cache."""
        signals = None if self.signals is None else asdict(self.signals)
        arrays = {name: _text(getattr(self, name)) for name in ("embedding", "layout", "grey")}
        return json.dumps({"row": self.row, "signals": signals, **arrays}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Measurement:
        """From what :meth:`to_bytes` gave. Raises KeyError, TypeError or ValueError for other bytes."""
        content = json.loads(data)
        signals = content["signals"]
        if signals is not None:
            faces = tuple(Face(**{**face, "box": tuple(face["box"])}) for face in signals["faces"])
            place = signals["sharp_place"]
            signals = FrameSignals(**{**signals, "faces": faces, "sharp_place": place and tuple(place)})
        kinds = {"embedding": np.float16, "layout": np.float32, "grey": np.uint8}
        arrays = {name: np.frombuffer(base64.b64decode(content[name]), kind) for name, kind in kinds.items()}
        side = COPY_SIDE_PX if arrays["grey"].size else 0
        return cls(content["row"], signals, arrays["embedding"], arrays["layout"], arrays["grey"].reshape(side, side))


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


@dataclass(frozen=True)
class _Prepared:
    """A decoded image: what is measured of it already, and what the model needs. Or an earlier measurement."""

    image: PreparedImage | None
    measured: Measurement


class FrameMeter:
    """Measures files, each decoded once; equal content, and what an earlier run measured, is not decoded.

    Args:
        assessor: with a fast head.
        reader: finds faces; None to leave them out.
        cache: of earlier measurements.
        measure: gives the signals of an RGB image at native size.

    Attributes:
        from_cache: files whose measurement was there already.
        unmeasured: files that were rated, but whose signals could not be measured.

    Raises:
        CheckpointError: for a model without a fast head.
    """

    def __init__(
        self,
        assessor: Assessor,
        reader: FaceReader | None,
        cache: SignalCache,
        measure: Callable[[Image.Image, FaceReader | None], FrameSignals] = frame_signals,
    ) -> None:
        if not isinstance(assessor.head, FastScorer):
            raise CheckpointError(
                "culling compares photos, which needs a model with a fast head", "pass one with --model"
            )
        self._assessor, self._head = assessor, assessor.head
        self._reader, self._cache, self._measure = reader, cache, measure
        self._columns = Columns()
        self.from_cache = self.unmeasured = 0

    def measure(self, sources: Sequence[ImageSource], workers: int | None = None) -> Iterator[Measurement]:
        """A measurement of each source, in order. No more than a few decoded images are held at a time."""
        known = [self._known(self._cache.content_of(s.path)) if s.load is None else None for s in sources]
        new = [source for source, measurement in zip(sources, known, strict=True) if measurement is None]
        with closing(self._measure_new(new, workers)) as measured:
            for source, measurement in zip(sources, known, strict=True):
                if measurement is None:
                    yield next(measured)
                else:
                    self.from_cache += 1
                    yield replace(measurement, row={**measurement.row, "path": source.path})

    def _known(self, sha256: str) -> Measurement | None:
        data = self._cache.get(sha256)
        if data is None:
            return None
        try:
            return Measurement.from_bytes(data)
        except (KeyError, TypeError, ValueError):
            return None

    def _measure_new(self, sources: Sequence[ImageSource], workers: int | None) -> Generator[Measurement, None, None]:
        by_content: dict[str, Measurement] = {}
        with Prefetcher(sources, self._prepare, batch_size=CULL_BATCH_IMAGES, workers=workers) as prefetcher:
            for batch in prefetcher.batches(4 * CULL_BATCH_IMAGES):
                measurements = self._measure_batch(batch, by_content)
                for entry in batch:
                    prefetcher.settle(entry)
                yield from measurements

    def _prepare(self, data: bytes, suffix: str, sha256: str) -> _Prepared | ImageError:
        """Decode and measure all that needs no model; in any thread."""
        known = self._known(sha256)
        if known is not None:
            return _Prepared(None, known)
        loaded = _open(data, suffix, sha256)
        if isinstance(loaded, ImageError):
            return loaded
        full = loaded.image
        small = _reduced(full, self._head.needed_side)
        try:
            signals = self._measure(full, self._reader)
        except Exception:  # a missing signal is neutral, and the other frames go on
            signals = None
        measured = Measurement({}, signals, layout=layout(small), grey=Thumbnail.of(small).grey)
        described = LoadedImage(Image.new("RGB", (1, 1)), loaded.width, loaded.height, sha256, damaged=loaded.damaged)
        pixels = self._head.preprocess(replace(loaded, image=small))
        warning = input_warning(small, loaded.damaged)
        return _Prepared(PreparedImage(described, warning=warning, pixels=pixels), measured)

    def _measure_batch(
        self, batch: Sequence[PrefetchEntry[_Prepared]], by_content: dict[str, Measurement]
    ) -> list[Measurement]:
        """A measurement of each entry; those that are new are in the cache by then."""
        results = [entry.error if entry.decoding is None else entry.prepared() for entry in batch]
        images = [r.image for r in results if isinstance(r, _Prepared) and r.image is not None]
        rated = iter(self._rate(images))
        fresh = []
        measurements = []
        for entry, result in zip(batch, results, strict=True):
            if isinstance(result, _Prepared):
                measurement = result.measured
                if result.image is not None:
                    row, embedding = next(rated)
                    measurement = replace(measurement, row=row, embedding=embedding)
                    self.unmeasured += measurement.signals is None and not row["error"]
            elif result is None:
                measurement = by_content[entry.sha256]
            else:
                measurement = Measurement(self._columns.row(self._assessor.error_assessment(result)))
            if entry.sha256:
                by_content[entry.sha256] = measurement
            if measurement.signals is not None:
                fresh.append((entry.path, entry.sha256, measurement.to_bytes()))
            measurements.append(replace(measurement, row={**measurement.row, "path": entry.path}))
        self._cache.put(fresh)
        return measurements

    def _rate(self, images: Sequence[PreparedImage]) -> list[tuple[Row, NDArray[np.float16]]]:
        """Row and embedding of each image. What the model fails on becomes an error row."""
        if not images:
            return []
        assessor, head = self._assessor, self._head
        try:
            scores = head.score([image.pixels for image in images])
        except (RuntimeError, MemoryError) as error:
            if len(images) > 1:
                middle = len(images) // 2
                return self._rate(images[:middle]) + self._rate(images[middle:])
            loaded = images[0].loaded
            advice = f"the model failed on it ({short_text(error, 160)}); give a smaller copy"
            failure = ImageError("model", advice, loaded.sha256, loaded.width, loaded.height)
            return [(self._columns.row(assessor.error_assessment(failure)), np.zeros(0, np.float16))]
        results = rated_images(images, (), scores, assessor.calibration)
        embeddings = standard_embedding(head, np.asarray(scores.states)).astype(np.float16)
        named = (replace(a, model=assessor.model_id, prompt=assessor.prompt_id) for a in results)
        return [(self._columns.row(a), e) for a, e in zip(named, embeddings, strict=True)]


def measures_identity(assessor: Assessor, reader: FaceReader | None) -> str:
    """Of what a measurement depends on, beside the file."""
    faces = "faces" if reader is not None else "no faces"
    return f"{assessor.model_id} {assessor.prompt_id} {MEASURES_VERSION} {faces}"


def _open(data: bytes, suffix: str, sha256: str) -> LoadedImage | ImageError:
    """The image at native size; of a raw file its embedded preview, where that is large and whole."""
    preview = embedded_preview(data) if suffix in RAW_SUFFIXES else None
    if preview is not None:
        loaded = open_image(preview[0], sha256=sha256)
        if isinstance(loaded, LoadedImage):
            image = set_upright(loaded.image, preview[1])
            size = (loaded.height, loaded.width) if preview[1] >= 5 else (loaded.width, loaded.height)
            return replace(loaded, image=image, width=size[0], height=size[1])
    return open_image(data, suffix=suffix, sha256=sha256)


def _reduced(image: Image.Image, needed_side: int) -> Image.Image:
    """The image at 1/2, 1/4 or 1/8, as small as the model allows: what a JPEG decoder would have given."""
    factor = next((k for k in (8, 4, 2) if max(image.size) >= k * needed_side), 1)
    return image if factor == 1 else image.reduce(factor)
