"""Whatever is named or seen gives an image, an error or a word."""

import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli import run
from vlm_aes.bulk import find_sources
from vlm_aes.bulk.sources import PassedOver, listed_paths
from vlm_aes.images.open import ImageError

FILES = ("a.png", "[2024] trip/b.png", "what? now*/c.png", "x[1].png", "deep/[a]/er/d.png", "deep/e.txt", "notes/n.txt")
LINKS = {"deep/loop": ".", "deep/self": "self", "deep/gone": "nowhere", "deep/lost.png": "nowhere",
         "deep/away": "../../other", "deep/.hidden": "../../other"}  # fmt: skip


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (*(f"w/{n}" for n in FILES), "other/o.png", "other/er/p.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    for name, target in LINKS.items():
        (tmp_path / "w" / name).symlink_to(target)
    monkeypatch.chdir(tmp_path / "w")


def given_by(*names, stdin=None):
    passed_over = PassedOver()
    sources = list(find_sources(names, stdin, passed_over=passed_over))
    return [s.path for s in sources], passed_over.counts(), sources


IN_A_CIRCLE = {"circular": 3}
CASES = [
    ("gone [1].png", ["gone [1].png"], {}), ("gone*/?.png", ["gone*/?.png"], {}), ("none-*.tar", ["none-*.tar"], {}),
    ("x[1].png", ["x[1].png"], {}), ("x[[]1].png", ["x[1].png"], {}), ("./x*.png", ["./x[1].png"], {}),
    ("[2024] trip/*.png", ["[2024] trip/b.png"], {}), ("[2024] trip", ["[2024] trip/b.png"], {}),
    ("what? now*/?.png", ["what? now*/c.png"], {}), ("d*/[a]/*/*.png", ["deep/[a]/er/d.png"], {}),
    ("deep/[a]/**/*.png", ["deep/[a]/er/d.png"], {}), ("notes", [], {"empty": 1}), ("note*/", [], {"empty": 1}),
    ("deep", ["deep/lost.png", "deep/[a]/er/d.png"], {"linked": 1, **IN_A_CIRCLE}),
    ("deep/**/er/*.png", ["deep/[a]/er/d.png", "deep/away/er/p.png"], IN_A_CIRCLE),
    ("deep/away", ["deep/away/o.png", "deep/away/er/p.png"], {}), ("-", ["-"], {}),
    ("a" * 300, ["a" * 300], {}), (f"*/{'[a]' * 300}", [f"*/{'[a]' * 300}"], {}), ("a\0b*", ["a\0b*"], {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "paths", "passed_over"), CASES)
def test_a_name_gives_images_or_is_counted(tree, name, paths, passed_over):
    found = given_by(name)
    assert found[:2] == (paths, passed_over)
    for source in found[2]:
        assert isinstance(source.read(), bytes) == os.path.isfile(source.path)  # noqa: PTH113
    # the same beside others, and on a list
    assert given_by("a.png", name)[:2] == (["a.png", *paths], passed_over)
    assert given_by("-", stdin=["a.png", name])[:2] == (["a.png", *paths], passed_over)


def test_a_folder_that_may_not_be_read(tree, monkeypatch):
    def refuse(folder, scandir=os.scandir):
        if str(folder).endswith("[a]"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    for name in ("deep", "deep/**/*.png"):
        assert given_by(name)[1]["unreadable"] == 1
    assert given_by("deep/[a]", "a.png")[:2] == (["deep/[a]", "a.png"], {})


def test_what_is_passed_over_is_said_and_counted(tree, tmp_path):
    stats = tmp_path / "stats.json"
    done = run("score", "deep", "a.png", "notes", "--fast", "--stats", stats)
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("passed over")]
    assert [line.split(": ")[1] for line in lines] == [
        "deep/away (with o.png)", "deep/gone, deep/self, deep/loop", "notes"]  # fmt: skip
    words = " ".join(stats.read_text().split())
    assert '"seen": 8, "pictures": 3, "passed_over": { "linked": 1, "circular": 3, "empty": 1 }' in words
    assert run("score", "notes", "[2024] trip/[x]/", "--fast").exit_code == 1
    nothing = run("score", "notes", "--fast")
    assert (nothing.exit_code, "no image found in notes" in nothing.stderr) == (2, True)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_in_an_archive_give_their_targets(tree, tmp_path, mode):
    links = {"h.png": ("sub/t.png", "1"), "sub/s.png": ("t.png", "2"), "up.png": ("sub/../sub/s.png", "2"),
             "raw.png": ("sub/t.bin", "2"), "gone.png": ("/etc/none", "2"), "round.png": ("round.png", "2"),
             "text": ("sub/t.png", "2")}  # fmt: skip
    file = tmp_path / "a.tar"
    with tarfile.open(file, mode) as archive:
        for name, (target, kind) in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind.encode(), target
            archive.addfile(member)
        for name in ("sub/t.png", "sub/t.bin"):
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    found = {s.path.removeprefix(f"{file}/"): s.read() for s in find_sources([str(file)])}
    lost = {name: found.pop(name) for name in ("gone.png", "round.png")}
    of_target = dict.fromkeys(("./sub/t.png", "h.png", "sub/s.png", "up.png"), b"sub/t.png")
    assert found == {**of_target, "raw.png": b"sub/t.bin"}
    assert all(isinstance(e, ImageError) and e.kind == "missing" for e in lost.values())


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)), st.booleans())
def test_a_list_ended_by_nul_holds_any_name(names, ends):
    text = "\0".join(names) + "\0" * (ends and bool(names))
    assert list(listed_paths(io.StringIO(text, newline=""), null=True)) == names
