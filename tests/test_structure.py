"""Imports point one way, names are unique, nothing is fetched, and the command line is quick."""

import subprocess
import sys
import tomllib

import pytest

from tests import structure

FLOOR = {name: height for height, names in enumerate(structure.FLOORS) for name in names}


def test_every_room_has_a_floor_and_every_floor_its_rooms():
    assert {structure.room(name) for name in structure.modules()} == set(FLOOR)


@pytest.mark.parametrize("name", structure.modules())
def test_imports_point_downwards(name):
    own = structure.room(name)
    for other in map(structure.room, structure.imported(name, structure.modules()[name])):
        lower = other in structure.SHARED or FLOOR[other] < FLOOR[own]
        assert other == own or lower, f"{name} imports {other}, which is not below it"


def test_the_package_has_few_rooms_and_few_arrows():
    assert len(FLOOR) <= 24
    assert len(structure.arrows()) <= 115


def test_no_two_classes_share_a_name():
    shared = {n: m for n, m in structure.class_names().items() if len(m) > 1}
    assert not shared


def test_a_constant_name_stands_in_at_most_two_modules():
    shared = {n: m for n, m in structure.constant_names().items() if len(m) > 2}
    assert not shared


def test_the_wheel_holds_every_package():
    project = tomllib.loads((structure.PACKAGE.parent / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"]) - {"vlm_aes.prompt_files"}
    folders = {file.parent.relative_to(structure.PACKAGE.parent) for file in structure.modules().values()}
    assert listed == {".".join(folder.parts) for folder in folders}


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
