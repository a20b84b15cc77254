"""Rates pictures through a server: the same question, the same five words, read from its most
probable next tokens."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from vlm_aes.errors import CheckpointError, ServerError
from vlm_aes.images.open import LoadedImage
from vlm_aes.models.remote.client import Client
from vlm_aes.models.remote.logprobs import Told, told
from vlm_aes.models.scorer import Scorer, Scores
from vlm_aes.prompts import RatingPrompt
from vlm_aes.ratings.scale import WORDS

SCHEME = "openai:"
SIDE = 1024
TOP = 20
"""Tokens that are asked for: what vLLM and OpenAI give at most unless set otherwise."""


@dataclass(frozen=True)
class Settings:
    """How a server is asked.

    Attributes:
        url: its address, with the ``/v1`` that it mostly has.
        name: of the model there; nothing for the only one.
        top: most probable tokens that it is asked for.
        concurrency: requests at a time.
        side: long side in pixels of what is sent; larger pictures are made smaller.
        timeout: seconds that an answer may take.
    """

    url: str
    name: str = ""
    top: int = TOP
    concurrency: int = 8
    side: int = SIDE
    timeout: float = 120.0

    @staticmethod
    def parse(text: str) -> Settings:
        """``openai:URL#NAME``.

        Raises:
            CheckpointError: for something else.
        """
        url, _, name = text.removeprefix(SCHEME).partition("#")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise CheckpointError(text, "a server is named openai:http://HOST:PORT/v1#NAME")
        return Settings(url if parts.path.strip("/") else f"{url.rstrip('/')}/v1", name)


def is_served(model: str) -> bool:
    """Whether a name is that of a server."""
    return model.startswith(SCHEME)


class ServedRater(Scorer):
    """Asks a server for the token after the stem, and reads the five words among the most probable.

    ``score_slack`` says by how many points a score may at most be off for words that were not among
    them. A picture that the server gives no answer for gets an error; the others go on.

    Args:
        about: what the server says of the model, which tells it from another one.
    """

    columns = ("score_slack",)

    def __init__(self, settings: Settings, prompt: RatingPrompt, name: str, about: str) -> None:
        self.settings = settings
        self.prompt = prompt
        self.name = name
        self.client = Client(settings.url, timeout=settings.timeout)
        self.attributes = tuple(prompt.questions)
        digest = hashlib.sha256(about.encode()).hexdigest()[:12]
        self.model_id = f"{SCHEME}{name}@{digest}"
        asked = {
            "texts": [self.prompt.asked(a) for a in (None, *prompt.questions)],
            "system": prompt.system, "words": prompt.words, "image_first": prompt.image_first,
            "thinking": prompt.thinking, "side": settings.side, "top": settings.top,
        }  # fmt: skip
        text = json.dumps(asked, sort_keys=True)
        self.prompt_id = f"served-{prompt.name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.needed_side = settings.side

    def read(self, picture: LoadedImage) -> str:
        """The picture as it is sent: PNG, so that nothing is lost, as a data address."""
        image = picture.image
        longest = max(image.size)
        if longest > self.settings.side:
            factor = self.settings.side / longest
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1)
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"

    def rate(self, looked: Sequence[str], attributes: Sequence[str] = ()) -> Scores:
        """Ask about each picture; see :class:`vlm_aes.models.scorer.Scorer`."""
        asked = [None, *attributes]
        jobs = [(picture, attribute) for picture in looked for attribute in asked]
        with ThreadPoolExecutor(min(self.settings.concurrency, len(jobs))) as pool:
            answers = list(pool.map(lambda job: self._answer(*job), jobs))
        probabilities = np.full((len(looked), len(asked), len(WORDS)), 1 / len(WORDS))
        slack: list[float | None] = []
        errors = []
        for i in range(len(looked)):
            own = answers[i * len(asked) : (i + 1) * len(asked)]
            errors.append(next((a for a in own if isinstance(a, str)), ""))
            for j, answer in enumerate(own):
                if isinstance(answer, Told):
                    probabilities[i, j] = answer.probabilities
            slack.append(own[0].slack if isinstance(own[0], Told) else None)
        return Scores(probabilities, columns={"score_slack": slack}, errors=errors)

    def _answer(self, picture: str, attribute: str | None) -> Told | str:
        """What the server tells of the words, or what to do."""
        try:
            top = self._top(picture, attribute)
        except ServerError as error:
            return f"the server at {self.settings.url} gave {error}; see to it and use --resume"
        found = told(top, self.prompt.words)
        if found is None:
            first = ", ".join(repr(token) for token in list(top)[:5])
            return (
                f"none of the rating words is among the {len(top)} most probable tokens "
                f"({first}, ...); let the server tell more of them, or name another --prompt"
            )
        return found

    def _top(self, picture: str, attribute: str | None) -> dict[str, float]:
        answer = self.client.ask("chat/completions", self.request(picture, attribute))
        try:
            place = answer["choices"][0]["logprobs"]["content"][0]
            found = {str(t["token"]): float(t["logprob"]) for t in place["top_logprobs"]}
        except (KeyError, IndexError, TypeError, ValueError):
            found = {}
        if not found:
            raise ServerError("an answer without top_logprobs, which rating needs")
        return found

    def request(self, picture: str, attribute: str | None) -> dict[str, Any]:
        """The body of one question: the stem stands as the beginning of the answer, which vLLM goes
        on with as told, and llama.cpp by itself."""
        question, stem = self.prompt.asked(attribute)
        shown = {"type": "image_url", "image_url": {"url": picture}}
        text = {"type": "text", "text": question}
        content = [shown, text] if self.prompt.image_first else [text, shown]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self.prompt.system:
            messages.insert(0, {"role": "system", "content": self.prompt.system})
        body: dict[str, Any] = {
            "model": self.name, "messages": messages, "max_tokens": 1, "temperature": 0,
            "logprobs": True, "top_logprobs": self.settings.top,
        }  # fmt: skip
        if stem:
            messages.append({"role": "assistant", "content": stem})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        if self.prompt.thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": self.prompt.thinking}
        return body

    def probe(self) -> None:
        """Ask once about a plain picture.

        Raises:
            CheckpointError: where the server does not answer, or not with what rating needs.
        """
        plain = Image.linear_gradient("L").convert("RGB")
        answer = self._answer(self.read(LoadedImage(plain, *plain.size, "")), None)
        if isinstance(answer, str):
            raise CheckpointError(f"{SCHEME}{self.settings.url}#{self.name}", answer)


def open_served(settings: Settings, prompt_for: Callable[[str], RatingPrompt]) -> ServedRater:
    """A rater that asks a server, tried once.

    Args:
        prompt_for: from the model's name there to what it is asked.

    Raises:
        CheckpointError: where it does not answer, does not know the model, or its answers lack what
            rating needs.
    """
    shown = f"{SCHEME}{settings.url}#{settings.name}"
    if settings.top < 1 or settings.concurrency < 1 or settings.side < 28:
        raise CheckpointError(shown, "top and concurrency are at least 1, side at least 28 pixels")
    try:
        entries = Client(settings.url, timeout=settings.timeout).ask("models")["data"]
        known = {str(entry["id"]): entry for entry in entries}
    except ServerError as error:
        reason = f"the server gave {error}; start it, or correct the address"
        raise CheckpointError(shown, reason) from None
    except (KeyError, TypeError):
        raise CheckpointError(shown, "its list of models cannot be read; is the address right?"
                              ) from None  # fmt: skip
    name = settings.name or (next(iter(known)) if len(known) == 1 else "")
    if name not in known:
        raise CheckpointError(
            shown, f"the server has no model {name!r}; it has {', '.join(known) or 'none'}: name "
            "one behind a #",
        )  # fmt: skip
    prompt = prompt_for(name)
    if prompt.facts_line:
        raise CheckpointError(shown, f"prompt {prompt.name!r} tells facts, which is not done here")
    # the time of its start and its permissions are not the model
    telling = {k: known[name].get(k) for k in ("id", "root", "meta", "max_model_len")}
    rater = ServedRater(settings, prompt, name, json.dumps(telling, sort_keys=True))
    rater.probe()
    return rater
