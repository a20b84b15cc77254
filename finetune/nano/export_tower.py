"""Writes the averaged weights of a training state as ``tower.safetensors`` and ``tower.json``.

python -m finetune.nano.export_tower --data DATA --state RUN/state.pt --out TOWER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from finetune.nano.data import Dataset
from finetune.nano.tower import TowerWithHeads, save
from finetune.nano.vocabulary import vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder, for the label lists")
    parser.add_argument("--state", type=Path, required=True, help="state.pt of train_tower.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tower")
    a = parser.parse_args()
    state = torch.load(a.state, weights_only=True, mmap=True)
    model = TowerWithHeads(vocabulary(Dataset(a.data)), pretrained=False)
    model.load_state_dict(state["model"])
    model.load_state_dict(state["average"], strict=False)
    save(model, a.out, step=state["step"], views=state["views"], share=state["share"])
    print(f"step {state['step']}, {state['views']} views, share {state['share']:.3f}")


if __name__ == "__main__":
    main()
