"""Imports point one way, names are unique, nothing is fetched, and the command line is quick."""

import subprocess
import sys
import tomllib

import pytest

from benchmarks import structure


def test_every_room_has_a_floor_and_imports_point_downwards_and_are_few():
    rooms = {name for names in structure.FLOORS for name in names}
    assert {structure.room(name) for name in structure.modules()} == rooms
    assert structure.upward() == {}
    assert len(rooms) <= 24
    assert len(structure.arrows()) <= 115


@pytest.mark.parametrize(("names", "most"), [(structure.class_names, 1), (structure.constant_names, 2)])
def test_a_class_stands_in_one_module_and_the_name_of_a_constant_in_two_at_most(names, most):
    assert {name: modules for name, modules in names().items() if len(modules) > most} == {}


def test_the_wheel_holds_every_package():
    project = tomllib.loads((structure.PACKAGE.parent / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"]) - {"vlm_aes.prompt_files"}
    folders = {file.parent.relative_to(structure.PACKAGE.parent) for file in structure.modules().values()}
    assert listed == {".".join(folder.parts) for folder in folders}


OFFLINE = """
import socket, sys
def refuse(*a, **k): raise AssertionError("network attempt")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
for name in ("peft", "accelerate", "bitsandbytes", "sklearn", "pandas", "torchvision"):
    sys.modules[name] = None
from vlm_aes import Assessor
from PIL import Image
a = Assessor.from_pretrained().assess(Image.new("RGB", (64, 64), (90, 120, 40)), rationale=True)
assert a.score is not None and not a.error, a
"""
QUICK = "import sys, vlm_aes.cli; assert 'torch' not in sys.modules and 'PIL' not in sys.modules"


@pytest.mark.parametrize("code", [OFFLINE, QUICK], ids=["offline without extras", "answers before torch is loaded"])
def test_in_a_fresh_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
