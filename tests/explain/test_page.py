"""The page of one picture: complete, safe, and in one file."""

import re

import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

from vlm_aes.cli import app

NAME = "<b>Käffee & Co.png"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    Image.fromarray(skimage.data.coffee()).save(folder / NAME)
    out = folder / "page.html"
    result = CliRunner().invoke(app, ["explain", str(folder / NAME), "--html", str(out)])
    assert result.exit_code == 0, result.output
    assert [f.name for f in folder.iterdir() if f.name.startswith(".")] == []
    return out.read_text(encoding="utf-8")


def test_everything_is_on_it(text):
    for word in ("bad", "excellent", "composition", "exposure", "Where the score comes from"):
        assert word in text
    assert "What it claims" in text
    assert "Suggested edits" in text
    assert "symmetry sideways" in text
    assert text.count("data:image/jpeg") == 3 + 2 * text.count('class="tried"')
    assert len(text) < 3_000_000


def test_names_are_escaped_and_nothing_is_fetched(text):
    assert "<b>K" not in text
    assert "&lt;b&gt;Käffee &amp; Co.png" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)


def test_a_page_that_cannot_be_written(tmp_path):
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "a.png")
    out = tmp_path / "none" / "page.html"
    result = CliRunner().invoke(app, ["explain", str(tmp_path / "a.png"), "--html", str(out)])
    assert result.exit_code == 2
    assert str(out) in result.stderr
