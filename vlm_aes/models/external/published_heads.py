"""The table of published aesthetic heads: where their weights are, what they read, their network.

To add one, give it a row in :data:`PUBLISHED_HEADS`. Its ``network`` is a module whose parameters have the
names and shapes of the published file: by them a file is recognised, and into it the file is loaded.
``--model NAME:FILE`` then works, and so does ``--model FILE``.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.ratings.scale import Scale

Shapes = dict[str, tuple[int, ...]]
"""Names of parameters to their shapes."""
_TEN_POINTS = Scale(1, 10)
_CLIP_L14 = "openai/clip-vit-large-patch14"


class CityHead(nn.Module):
    """CityAesthetics and its classifiers: a layer, a residual block, four layers down.

    Args:
        width: numbers of an embedding.
        outputs: one number, squashed to 0 to 1 by tanh; or several classes, by softmax.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.up = nn.Sequential(nn.Linear(width, 1024), _ResidualBlock(1024))
        middle = (nn.Linear(128, 64), nn.Dropout(0.1), nn.LeakyReLU(0.01), nn.Linear(64, 32))
        self.down = nn.Sequential(nn.Linear(1024, 128), *middle, nn.Linear(32, outputs))

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) embeddings to (B, 1) numbers, 0 to 1, or (B, outputs) probabilities."""
        x = self.down(self.up(embeddings))
        squashed: Tensor = (torch.tanh(x) + 1) / 2 if self.outputs == 1 else x.softmax(-1)
        return squashed


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first, second, third = (nn.Linear(width, width) for _ in range(3))
        self.long = nn.Sequential(first, nn.LeakyReLU(0.1), second, nn.LeakyReLU(0.1), third)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.long(x) + x)


def _linear_layers(name: str, width: int, dropouts: int) -> nn.Module:
    """Five linear layers without activations, below ``name`` as the published file has them."""
    sizes = (width, 1024, 128, 64, 16, 1)
    layers: list[nn.Module] = []
    for i in range(5):
        layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i < dropouts:  # it does nothing when rating, and counts in the numbers of the layers
            layers.append(nn.Dropout())
    return nn.Sequential(OrderedDict({name: nn.Sequential(*layers)}))


@dataclass(frozen=True)
class PublishedHead:
    """One published head.

    Attributes:
        file: what its authors call the weights, and where they keep them.
        towers: width of an embedding to the tower that gives it; a width of 0 stands for any.
        network: from the width and the number of outputs to the network.
        embedding, normalised: ``projected``, CLIP's image embedding, or ``pooled``, from a vision tower's own
            pooling; whether it is read at length one.
    """

    file: str
    scale: Scale
    towers: dict[int, str]
    network: Callable[[int, int], nn.Module]
    embedding: str = "projected"
    normalised: bool = True

    def shapes(self, width: int, outputs: int = 1) -> Shapes:
        """Names and shapes of the weights in its file."""
        with torch.device("meta"):
            return shapes_of(self.network(width, outputs).state_dict())

    def size_of(self, shapes: Shapes) -> tuple[int, int] | None:
        """Width and number of outputs of weights in its layout; None for another layout."""
        first, *_, last = self.shapes(1)
        width, outputs = shapes.get(first, (0,))[-1], shapes.get(last, (0,))[0]
        fits = width > 0 and outputs > 0 and (width in self.towers or 0 in self.towers)
        return (width, outputs) if fits and shapes == self.shapes(width, outputs) else None

    def load(self, state: Mapping[str, Tensor]) -> nn.Module:
        """The network with its weights: (B, D) embeddings to (B, outputs) numbers."""
        size = self.size_of(shapes_of(state))
        assert size is not None
        network = self.network(*size)
        network.load_state_dict(dict(state))
        return network.float().eval().requires_grad_(False)


PUBLISHED_HEADS = {
    "laion-v1": PublishedHead(
        "sa_0_4_vit_l_14_linear.pth or sa_0_4_vit_b_32_linear.pth, from LAION-AI/aesthetic-predictor",
        _TEN_POINTS,
        {512: "openai/clip-vit-base-patch32", 768: _CLIP_L14},
        lambda width, _: nn.Linear(width, 1),
    ),
    "laion-v2": PublishedHead(
        "sac+logos+ava1-l14-linearMSE.pth, from christophschuhmann/improved-aesthetic-predictor",
        _TEN_POINTS,
        {768: _CLIP_L14},
        lambda width, _: _linear_layers("layers", width, dropouts=3),
    ),
    "aesthetic-v2.5": PublishedHead(
        "aesthetic_predictor_v2_5.pth, from discus0434/aesthetic-predictor-v2-5",
        _TEN_POINTS,
        {1152: "google/siglip-so400m-patch14-384"},
        lambda width, _: _linear_layers("scoring_head", width, dropouts=4),
        embedding="pooled",
    ),
    "city": PublishedHead(
        "a CityAesthetics .safetensors file, from city96/CityAesthetics",
        Scale(0, 1),
        {0: "openai/clip-vit-large-patch14-336"},
        CityHead,
        normalised=False,
    ),
}
"""Name, as ``--model`` takes it, to the head."""


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of a torch file of tensors alone. Raises CheckpointError
    for a file that is neither."""
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError) as error:
        raise CheckpointError(file, f"it cannot be read ({short_text(error, 120)}); name a file of weights") from None
    except Exception as error:  # what a torch file that holds more than tensors raises
        raise CheckpointError(file, f"it holds more than tensors, and is not run ({short_text(error, 120)})") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(file, "it holds no weights by name; name a file of weights")
    return content


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """Names and shapes of weights."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def recognise(file: Path, state: Mapping[str, Tensor], expected: str | None = None) -> str:
    """The name of the published head that weights belong to.

    Args:
        expected: the name that was given.

    Raises:
        CheckpointError: for another layout than ``expected``, or, without it, for an unknown one; it names
            what is expected and what is there.
    """
    present = shapes_of(state)
    match = next((name for name, head in PUBLISHED_HEADS.items() if head.size_of(present)), None)
    if match is not None and expected in (None, match):
        return match
    if expected is None:
        layouts = ", ".join(PUBLISHED_HEADS)
        raise CheckpointError(file, f"it holds {_listed(present)}, which is laid out as none of {layouts}")
    other = f", which is the layout of {match}" if match else ""
    head = PUBLISHED_HEADS[expected]
    own = (head.shapes(width or 768) for width in head.towers)
    nearest = min(own, key=lambda shapes: len(_without(shapes, present)))
    layout = f"{expected} is laid out as {_listed(_without(nearest, present) or nearest)}"
    raise CheckpointError(file, f"{layout}; this holds {_listed(_without(present, nearest))}{other}")


def _without(shapes: Shapes, others: Shapes) -> Shapes:
    """Those shapes that the others lack, or have otherwise."""
    return {name: shape for name, shape in shapes.items() if others.get(name) != shape}


def _listed(shapes: Shapes) -> str:
    some = [f"{name} {shape}" for name, shape in list(shapes.items())[:3]]
    rest = f" and {len(shapes) - 3} more" if len(shapes) > 3 else ""
    return (", ".join(some) or "nothing") + rest
