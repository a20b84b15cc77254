"""Paths come as typed, in order, once."""

from pathlib import Path

from vlm_aes.bulk import find_image_paths


def test_paths_as_typed_in_order_and_once(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    found = list(find_image_paths(["photos"]))
    assert found == sorted(found, key=lambda p: (Path(p).parent != Path("photos"), p))
    assert "photos/0.png" in found
    assert not [p for p in found if "hidden" in p or "txt" in p]
    assert next(find_image_paths(["photos/0.png", "photos", "photos/0.png"])) == "photos/0.png"
    assert len(list(find_image_paths(["photos", "photos"]))) == len(found)
    assert list(find_image_paths(["photos/*.png"])) == ["photos/0.png", "photos/2.png",
        "photos/4.png", "photos/6.png", "photos/8.png", "photos/c.png"]  # fmt: skip
    assert list(find_image_paths(["-"], ["photos/0.png\n", "\n", "gone.png\n"])) == ["photos/0.png", "gone.png"]
    assert next(find_image_paths(["./photos"])) == "./photos/0.png"
    assert list(find_image_paths(["notes.txt"])) == ["notes.txt"]
    (folder / "a[1].png").write_bytes((folder / "0.png").read_bytes())
    assert list(find_image_paths(["photos/a[1].png"])) == ["photos/a[1].png"]
