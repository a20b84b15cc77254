"""Files are copied, linked, moved and taken back; none is lost."""

import pytest

from vlm_aes.bulk.select.place_files import PLACEMENT_LOG, place_files, undo_placement
from vlm_aes.errors import OutputError


def test_files_placed_and_taken_back(tmp_path):
    files = [tmp_path / f"{i}.jpg" for i in range(3)]
    for i, file in enumerate(files):
        file.write_text(str(i))
    for way in ("copy", "link", "move"):
        folder = tmp_path / way
        assert place_files(map(str, reversed(files)), folder, way) == 3
        assert [(folder / f"{r:04d}-{i}.jpg").read_text() for r, i in ((1, 2), (2, 1), (3, 0))] == ["2", "1", "0"]
        assert all(f.exists() for f in files) == (way != "move")
        with pytest.raises(OutputError, match="earlier choice"):
            place_files([], folder, way)
        assert undo_placement(folder) == 3
        assert [f.read_text() for f in files] == ["0", "1", "2"]
        assert list(folder.iterdir()) == []
        with pytest.raises(OutputError, match="holds no choice"):
            undo_placement(folder)


@pytest.mark.parametrize("torn", ["", "{", '{"from": "/x/b.jpg", "to": "0002-b.jpg", "way": "move"}'])
def test_a_log_whose_last_line_was_cut_off_is_undone(tmp_path, torn):
    file, folder = tmp_path / "a.jpg", tmp_path / "best"
    file.write_text("a")
    place_files([str(file)], folder, "move")
    with (folder / PLACEMENT_LOG).open("a") as log:
        log.write(torn)
    assert undo_placement(folder) == 1
    assert file.read_text() == "a" and list(folder.iterdir()) == []


def test_nothing_is_overwritten_or_lost(tmp_path):
    file, folder, full = tmp_path / "a.jpg", tmp_path / "best", tmp_path / "full"
    file.write_text("a")
    place_files([str(file)], folder, "move")
    file.write_text("another")
    with pytest.raises(OutputError, match="exists again"):
        undo_placement(folder)
    assert (folder / "0001-a.jpg").read_text() == "a"
    file.unlink()
    assert undo_placement(folder) == 1
    place_files([str(file)], folder, "copy")
    file.unlink()
    with pytest.raises(OutputError, match="only copy left"):
        undo_placement(folder)
    with pytest.raises(OutputError, match="no such file"):
        place_files([str(tmp_path / "gone.jpg")], tmp_path / "new", "copy")
    assert not (tmp_path / "new").exists()
    full.mkdir()
    (full / "0001-0001-a.jpg").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        place_files([str(folder / "0001-a.jpg")], full, "copy")
    assert (full / "0001-0001-a.jpg").read_text() == "mine"
