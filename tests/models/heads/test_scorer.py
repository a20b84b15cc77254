"""Fast heads that are refused."""

import json
import shutil

import pytest

from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads import HEAD_FOLDER, load_head
from vlm_aes.models.nano import NANO


def test_a_damaged_head_and_one_of_another_tower_are_refused(tmp_path):
    for file in NANO.glob("*.*"):
        (tmp_path / file.name).symlink_to(file)
    file = shutil.copytree(NANO / HEAD_FOLDER, tmp_path / HEAD_FOLDER) / "fast.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tower_hash": "0" * 12}))
    with pytest.raises(CheckpointError, match="another vision tower"):
        load_head(tmp_path)
    file.write_text("{")
    with pytest.raises(CheckpointError, match=r"fast.json cannot be read.*distill it anew"):
        load_head(tmp_path)
