"""Scores through a server: the same question, and the five words among its most probable next tokens."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from vlm_aes.errors import CheckpointError, ServerError
from vlm_aes.images.result import LoadedImage
from vlm_aes.models.pretrained import json_hash, text_hash
from vlm_aes.models.remote.client import REQUEST_TIMEOUT_S, ServerClient
from vlm_aes.models.remote.logprobs import LabelProbabilities, label_probabilities
from vlm_aes.models.scorer import Scorer, Scores
from vlm_aes.prompts import RatingPrompt, prompt_for
from vlm_aes.ratings.scale import LEVELS

_SCHEME = "openai:"
_MIN_SENT_SIDE_PX = 28


@dataclass(frozen=True)
class ServerSettings:
    """The settings of a server; the names are those of a rater file.

    Attributes:
        url, name: its address, with the ``/v1`` that it mostly has; the model there, empty for the only one.
        top: number of most probable tokens that it is asked for.
        concurrency: requests at a time.
        side: long side in pixels of what is sent; larger images are resized.
        timeout: seconds that an answer may take.
    """

    url: str
    name: str = ""
    top: int = 20  # what vLLM and OpenAI give at most unless set otherwise
    concurrency: int = 8
    side: int = 1024
    timeout: float = REQUEST_TIMEOUT_S

    @staticmethod
    def parse(text: str) -> ServerSettings:
        """The settings of ``openai:URL#NAME``. Raises CheckpointError for something else."""
        url, _, name = text.removeprefix(_SCHEME).partition("#")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise CheckpointError(text, "a server is named openai:http://HOST:PORT/v1#NAME")
        return ServerSettings(url if parts.path.strip("/") else f"{url.rstrip('/')}/v1", name)


def is_server(model: str) -> bool:
    """Whether a name is that of a server."""
    return model.startswith(_SCHEME)


class ServerScorer(Scorer):
    """Asks a server for the token after the stem, and reads the five words among the most probable.

    ``score_slack`` is the number of points that a score may at most be off for words that were not among
    them. An image without an answer of the server gets an error; the others go on.

    Args:
        description: what the server says of the model; part of the model's identity.
    """

    columns = ("score_slack",)

    def __init__(self, settings: ServerSettings, prompt: RatingPrompt, name: str, description: str) -> None:
        self.settings = settings
        self.prompt = prompt
        self.name = name
        self.client = ServerClient(settings.url, timeout_s=settings.timeout)
        self.attributes = tuple(prompt.questions)
        self.model_id = f"{_SCHEME}{name}@{text_hash(description)}"
        parts = {name: getattr(prompt, name) for name in ("system", "words", "image_first", "thinking")}
        parts["texts"] = [prompt.question_and_stem(a) for a in (None, *prompt.questions)]
        parts |= {"side": settings.side, "top": settings.top}
        self.prompt_id = f"served-{prompt.name}@{json_hash(parts)}"
        self.needed_side = settings.side

    def preprocess(self, image: LoadedImage) -> str:
        """The image as it is sent: a PNG, so that nothing is lost, as a data address."""
        pixels = image.image
        factor = self.settings.side / max(pixels.size)
        if factor < 1:
            size = (max(1, round(pixels.width * factor)), max(1, round(pixels.height * factor)))
            pixels = pixels.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        file = io.BytesIO()
        pixels.save(file, "PNG", compress_level=1)
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"

    def score(self, inputs: Sequence[str], attributes: Sequence[str] = ()) -> Scores:
        questions = [None, *attributes]
        jobs = [(image, attribute) for image in inputs for attribute in questions]
        with ThreadPoolExecutor(min(self.settings.concurrency, len(jobs))) as pool:
            answers = list(pool.map(lambda job: self._answer(*job), jobs))
        probabilities = np.full((len(inputs), len(questions), len(LEVELS)), 1 / len(LEVELS))
        slack: list[float | None] = []
        errors = []
        for i in range(len(inputs)):
            own = answers[i * len(questions) : (i + 1) * len(questions)]
            errors.append(next((a for a in own if isinstance(a, str)), ""))
            for j, answer in enumerate(own):
                if isinstance(answer, LabelProbabilities):
                    probabilities[i, j] = answer.probabilities
            slack.append(own[0].slack if isinstance(own[0], LabelProbabilities) else None)
        return Scores(probabilities, columns={"score_slack": slack}, errors=errors)

    def _answer(self, image: str, attribute: str | None) -> LabelProbabilities | str:
        """The probabilities of the words, or an error message with what to do."""
        try:
            logprobs = self._top_logprobs(image, attribute)
        except ServerError as error:
            return f"the server at {self.settings.url} gave {error}; see to it and use --resume"
        result = label_probabilities(logprobs, self.prompt.words)
        if result is None:
            first = ", ".join(repr(token) for token in list(logprobs)[:5])
            return (
                f"none of the rating words is among the {len(logprobs)} most probable tokens "
                f"({first}, ...); let the server tell more of them, or name another --prompt"
            )
        return result

    def _top_logprobs(self, image: str, attribute: str | None) -> dict[str, float]:
        answer = self.client.request("chat/completions", self.request(image, attribute))
        try:
            place = answer["choices"][0]["logprobs"]["content"][0]
            logprobs = {str(t["token"]): float(t["logprob"]) for t in place["top_logprobs"]}
        except (KeyError, IndexError, TypeError, ValueError):
            logprobs = {}
        if not logprobs:
            raise ServerError("an answer without top_logprobs, which rating needs")
        return logprobs

    def request(self, image: str, attribute: str | None) -> dict[str, Any]:
        """The body of one question.

        The stem stands as the beginning of the answer. vLLM continues it because the body says so, llama.cpp
        by itself.
        """
        question, stem = self.prompt.question_and_stem(attribute)
        placed_image = {"type": "image_url", "image_url": {"url": image}}
        text = {"type": "text", "text": question}
        content = [placed_image, text] if self.prompt.image_first else [text, placed_image]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self.prompt.system:
            messages.insert(0, {"role": "system", "content": self.prompt.system})
        body: dict[str, Any] = {
            "model": self.name,
            "messages": messages,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": self.settings.top,
        }
        if stem:
            messages.append({"role": "assistant", "content": stem})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        if self.prompt.thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": self.prompt.thinking}
        return body

    def probe(self) -> None:
        """Ask once about a plain image. Raises CheckpointError where the server does not answer, or not with
        what rating needs."""
        plain = Image.linear_gradient("L").convert("RGB")
        answer = self._answer(self.preprocess(LoadedImage(plain, *plain.size, "")), None)
        if isinstance(answer, str):
            raise CheckpointError(f"{_SCHEME}{self.settings.url}#{self.name}", answer)


def load_server_scorer(settings: ServerSettings, prompt: str | Path | None) -> ServerScorer:
    """A scorer that asks a server, tried once; the prompt by name or file, or else the model's.

    Raises:
        CheckpointError: where it does not answer, does not know the model, or its answers lack what rating
            needs.
    """
    address = f"{_SCHEME}{settings.url}#{settings.name}"
    if settings.top < 1 or settings.concurrency < 1 or settings.side < _MIN_SENT_SIDE_PX:
        raise CheckpointError(address, f"top and concurrency are at least 1, side at least {_MIN_SENT_SIDE_PX} pixels")
    try:
        entries = ServerClient(settings.url, timeout_s=settings.timeout).request("models")["data"]
        known = {str(entry["id"]): entry for entry in entries}
    except ServerError as error:
        raise CheckpointError(address, f"the server gave {error}; start it, or correct the address") from None
    except (KeyError, TypeError):
        raise CheckpointError(address, "its list of models cannot be read; is the address right?") from None
    name = settings.name or (next(iter(known)) if len(known) == 1 else "")
    if name not in known:
        names = ", ".join(known) or "none"
        raise CheckpointError(address, f"the server has no model {name!r}; it has {names}: name one behind a #")
    own = prompt_for(name, prompt)
    if own.facts_line:
        raise CheckpointError(address, f"prompt {own.name!r} states facts, which no server gets: name another --prompt")
    # the time of its start and its permissions are no part of the model's identity
    identity = {k: known[name].get(k) for k in ("id", "root", "meta", "max_model_len")}
    scorer = ServerScorer(settings, own, name, json.dumps(identity, sort_keys=True))
    scorer.probe()
    return scorer
