"""Imports point one way, nothing is fetched, and the command line is quick to answer."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYER = {
    "srgb": -1,
    "ratings": 0, "images": 0, "facts": 0, "features": 0, "metrics": 0, "prompts": 0, "spoil": 0,
    "limits": 0, "stars": 0, "hub": 0, "additive": 0,
    "records": 1, "splits": 1, "calibration": 1, "samples": 1,
    "rated": 2, "preferences": 2, "backbones": 2, "scorer": 2,
    "taste": 2.5,
    "rater": 3, "explain": 3, "fast": 3, "baselines": 3, "served": 3,
    "ensemble": 3.5, "opening": 3.7, "ensemble.fitting": 3.8, "ensemble.routing": 3.8,
    "pairwise": 4, "assessor": 4,
    "table": 5,
    "explain.compare": 6, "explain.audit": 6, "explain.explanation": 6,
    "bulk": 6, "evaluate": 6,
    "report": 7, "show": 7,
    "cli": 8, "finetune": 8,
    "demo": 9,
}  # fmt: skip


def room(module):
    """The name in LAYER that a module belongs to: some parts of a room stand higher than it."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if ".".join(parts[:2]) in LAYER else ".".join(parts[:1])


def imports(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = [p for folder in ("vlm_aes", "prompts", "demo") for p in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_point_one_way(file):
    relative = file.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    own = room(".".join(parts)) if parts[0] == "vlm_aes" else parts[0]
    if own in ("__init__", "nano"):
        return
    for module in imports(file):
        other = room(module)
        if module.startswith("vlm_aes.") and other in LAYER and other != own:
            assert LAYER[other] < LAYER[own] or own == "cli", f"{own} imports {module}"
            assert other != "finetune" or own in ("cli", "demo")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_nothing_reaches_out_at_import_or_with_the_embedded_default():
    code = """
import socket
def refuse(*a, **k): raise AssertionError("network attempt")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from vlm_aes import Assessor
from PIL import Image
a = Assessor.from_pretrained().assess(Image.new("RGB", (64, 64), (90, 120, 40)), rationale=True)
assert a.score is not None and not a.error, a
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_the_command_line_answers_before_torch_is_loaded():
    code = "import sys, vlm_aes.cli; assert 'torch' not in sys.modules and 'PIL' not in sys.modules"
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_inference_needs_no_training_extras():
    code = """
import sys
for name in ("peft", "accelerate", "bitsandbytes", "sklearn", "pandas", "torchvision"):
    sys.modules[name] = None
from vlm_aes import Assessor
Assessor.from_pretrained()
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
