"""The tokenizer of nano 1.0: SmolLM2's with a third of its pieces.

A piece is kept when the texts use it, when it is among the commonest merges, or when a kept piece is
merged from it. So every kept text is split as before; a rare word falls into more pieces.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from vlm_aes import files
from vlm_aes.models.nano.base import KEPT_IDS_FILE, base_file

COMMON_MERGES = 9000
"""Merges that are kept whatever the texts use: the commonest of English."""
IMAGE_TOKEN = "<image>"
"""Stands where a token of the image enters the language model."""
END_TOKEN = "<|im_end|>"
"""Ends a text, and pads."""


def save_tokenizer(folder: Path, texts: Iterable[str]) -> None:
    """Write the reduced tokenizer for texts to ``folder``, unless it is there."""
    if not (folder / KEPT_IDS_FILE).exists():
        from transformers import AutoTokenizer

        file = base_file()
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        state, kept = reduced(json.loads(tokenizer.backend_tokenizer.to_str()), texts)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / "tokenizer.json", json.dumps(state, ensure_ascii=False))
        files.write_text(folder / KEPT_IDS_FILE, json.dumps(kept))


def kept_ids(folder: Path) -> list[int]:
    """Of each kept piece its id in SmolLM2, in the order of the new ids; the image token has none."""
    ids: list[int] = json.loads((folder / KEPT_IDS_FILE).read_text(encoding="utf-8"))
    return ids


def load_tokenizer(folder: Path) -> Any:
    """The saved tokenizer as a ``PreTrainedTokenizerFast``."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        eos_token=END_TOKEN,
        pad_token=END_TOKEN,
        extra_special_tokens={"image_token": IMAGE_TOKEN},
    )


def reduced(
    state: dict[str, Any], texts: Iterable[str], common_merges: int = COMMON_MERGES
) -> tuple[dict[str, Any], list[int]]:
    """The content of a ``tokenizer.json`` with fewer pieces, and the old ids of the kept ones."""
    model = state["model"]
    old_ids: dict[str, int] = model["vocab"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    parts = {a + b: (a, b) for a, b in merges}
    special = {token["content"] for token in state["added_tokens"]}
    tokenizer = Tokenizer.from_str(json.dumps(state))
    used = {piece for text in texts for piece in tokenizer.encode(text, add_special_tokens=False).tokens}
    used |= {a + b for a, b in merges[:common_merges]} | {piece for piece in old_ids if piece not in parts} | special
    queue = list(used)
    while queue:
        new = [part for part in parts.get(queue.pop(), ()) if part not in used]
        used.update(new)
        queue += new
    kept = sorted(used & old_ids.keys(), key=old_ids.__getitem__)
    model["vocab"] = {piece: i for i, piece in enumerate(kept)} | {IMAGE_TOKEN: len(kept)}
    model["merges"] = [[a, b] for a, b in merges if a + b in used]
    image = {"content": IMAGE_TOKEN, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [token | {"id": model["vocab"][token["content"]]} for token in state["added_tokens"]]
    state["added_tokens"] = [*added, image | {"id": len(kept), "special": True}]
    state["post_processor"] = None
    return state, [old_ids[piece] for piece in kept]
