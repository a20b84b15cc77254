"""Published aesthetic heads: their layouts as their files have them, and their arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vlm_aes.errors import CheckpointError
from vlm_aes.ratings.scale import Scale

Shapes = dict[str, tuple[int, ...]]
TEN = Scale(1, 10)
UNIT = Scale(0, 1)
CLIP_L14 = "openai/clip-vit-large-patch14"


@dataclass(frozen=True)
class Layout:
    """A published head.

    Attributes:
        name: as ``--model`` takes it.
        file: what its authors call the weights, and where they keep them.
        scale: that its numbers are on.
        towers: width of an embedding to the tower that gives it. A width of 0 takes any.
        embedding: ``projected``, CLIP's image embedding; or ``pooled``, what a vision tower's own
            pooling gives.
        normalised: whether the head reads the embedding at length one.
    """

    name: str
    file: str
    scale: Scale
    towers: dict[int, str]
    embedding: str = "projected"
    normalised: bool = True


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("laion-v1", "sa_0_4_vit_l_14_linear.pth or sa_0_4_vit_b_32_linear.pth, from "
               "LAION-AI/aesthetic-predictor", TEN,
               {512: "openai/clip-vit-base-patch32", 768: CLIP_L14}),
        Layout("laion-v2", "sac+logos+ava1-l14-linearMSE.pth, from christophschuhmann/"
               "improved-aesthetic-predictor", TEN, {768: CLIP_L14}),
        Layout("aesthetic-v2.5", "aesthetic_predictor_v2_5.pth, from discus0434/"
               "aesthetic-predictor-v2-5", TEN, {1152: "google/siglip-so400m-patch14-384"},
               embedding="pooled"),
        Layout("city", "a CityAesthetics .safetensors file, from city96/CityAesthetics", UNIT,
               {0: "openai/clip-vit-large-patch14-336"}, normalised=False),
    )
}  # fmt: skip

_HIDDEN = {"laion-v2": (1024, 128, 64, 16, 1), "aesthetic-v2.5": (1024, 128, 64, 16, 1)}
_PLACES = {"laion-v2": ("layers", (0, 2, 4, 6, 7)),
           "aesthetic-v2.5": ("scoring_head", (0, 2, 4, 6, 8))}  # fmt: skip


class ResidualHead(nn.Module):
    """CityAesthetics and its classifiers: a layer, a residual block, four layers down.

    Args:
        width: numbers of an embedding.
        outputs: one, squashed to 0..1 by tanh; or several, by softmax.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.up = nn.Sequential(nn.Linear(width, 1024), _Residual(1024))
        self.down = nn.Sequential(
            nn.Linear(1024, 128), nn.Linear(128, 64), nn.Dropout(0.1), nn.LeakyReLU(0.01),
            nn.Linear(64, 32), nn.Linear(32, outputs),
        )  # fmt: skip

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) embeddings to (B, 1), 0 to 1, or (B, outputs) probabilities."""
        x = self.down(self.up(embeddings))
        squashed: Tensor = (torch.tanh(x) + 1) / 2 if self.outputs == 1 else x.softmax(-1)
        return squashed


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.long = nn.Sequential(
            nn.Linear(width, width), nn.LeakyReLU(0.1), nn.Linear(width, width), nn.LeakyReLU(0.1),
            nn.Linear(width, width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, W) to (B, W)."""
        return torch.relu(self.long(x) + x)


def shapes_of(name: str, width: int, outputs: int = 1) -> Shapes:
    """What a head's file holds: name to shape."""
    if name == "laion-v1":
        return {"weight": (1, width), "bias": (1,)}
    if name == "city":
        with torch.device("meta"):
            network = ResidualHead(width, outputs)
        return {key: tuple(value.shape) for key, value in network.state_dict().items()}
    prefix, places = _PLACES[name]
    found: Shapes = {}
    inputs = width
    for place, units in zip(places, _HIDDEN[name], strict=True):
        found[f"{prefix}.{place}.weight"] = (units, inputs)
        found[f"{prefix}.{place}.bias"] = (units,)
        inputs = units
    return found


def network_of(name: str, state: Mapping[str, Tensor]) -> nn.Module:
    """A head with its weights: (B, D) embeddings to (B, outputs) numbers on its own scale."""
    network: nn.Module
    if name == "laion-v1":
        network = nn.Linear(state["weight"].shape[1], 1)
        network.load_state_dict(dict(state))
    elif name == "city":
        network = ResidualHead(state["up.0.weight"].shape[1], len(state["down.5.bias"]))
        network.load_state_dict(dict(state))
    else:
        # the dropouts between the layers do nothing when rating
        prefix, places = _PLACES[name]
        layers = []
        for place in places:
            weight = state[f"{prefix}.{place}.weight"]
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": state[f"{prefix}.{place}.bias"]})
            layers.append(layer)
        network = nn.Sequential(*layers)
    return network.float().eval().requires_grad_(False)


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of a torch file of tensors alone.

    Raises:
        CheckpointError: for a file that is neither.
    """
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError) as error:
        raise CheckpointError(file, f"it cannot be read ({_brief(error)})") from None
    except Exception as error:  # what a torch file that holds more than tensors raises
        raise CheckpointError(
            file, f"it holds more than tensors, and is not run ({_brief(error)})"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise CheckpointError(file, "it holds no weights by name")
    return found


def recognised(file: Path, state: Mapping[str, Tensor], wanted: str | None = None) -> Layout:
    """The layout that weights are in.

    Args:
        wanted: the layout that was named.

    Raises:
        CheckpointError: for another layout than ``wanted``, or, without it, for none that is known;
            it names what is expected and what is there.
    """
    there = {name: tuple(tensor.shape) for name, tensor in state.items()}
    fitting = next((layout for layout in LAYOUTS.values() if _fits(layout, there)), None)
    if fitting is not None and wanted in (None, fitting.name):
        return fitting
    if wanted is None:
        raise CheckpointError(
            file, f"it holds {_said(there)}, which is laid out as none of {', '.join(LAYOUTS)}"
        )
    other = f", which is the layout of {fitting.name}" if fitting else ""
    expected = [shapes_of(wanted, width or 768) for width in LAYOUTS[wanted].towers]
    nearest = min(expected, key=lambda shapes: len(_apart(shapes, there)))
    raise CheckpointError(
        file, f"{wanted} is laid out as {_said(_apart(nearest, there) or nearest)}; "
        f"this holds {_said(_apart(there, nearest))}{other}",
    )  # fmt: skip


def _apart(shapes: Shapes, others: Shapes) -> Shapes:
    """Those that the others do not have, or have in another shape."""
    return {name: shape for name, shape in shapes.items() if others.get(name) != shape}


def _fits(layout: Layout, there: Shapes) -> bool:
    if layout.name == "city":
        width = there.get("up.0.weight", (0, 0))[-1]
        outputs = there.get("down.5.bias", (0,))[0]
        return width > 0 and outputs > 0 and there == shapes_of("city", width, outputs)
    return any(there == shapes_of(layout.name, width) for width in layout.towers)


def _said(shapes: Shapes) -> str:
    some = [f"{name} {shape}" for name, shape in list(shapes.items())[:3]]
    rest = f" and {len(shapes) - 3} more" if len(shapes) > 3 else ""
    return (", ".join(some) or "nothing") + rest


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
