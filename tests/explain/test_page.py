"""The page of one picture: complete, safe, and in one file."""

import re

import skimage.data
from PIL import Image
from typer.testing import CliRunner

from vlm_aes.cli import app


def test_everything_is_on_it_names_are_escaped_and_nothing_is_fetched(tmp_path):
    photo, out = tmp_path / "<b>Käffee & Co.png", tmp_path / "page.html"
    Image.fromarray(skimage.data.coffee()).save(photo)
    result = CliRunner().invoke(app, ["explain", str(photo), "--html", str(out)])
    assert result.exit_code == 0, result.output
    assert {*tmp_path.iterdir()} == {photo, out}
    text = out.read_text(encoding="utf-8")
    for word in ("bad", "excellent", "composition", "exposure", "Where the score comes from", "What it claims",
                 "Suggestions", "symmetry sideways"):  # fmt: skip
        assert word in text
    assert text.count("data:image/jpeg") == 3 + 2 * text.count('class="tried"')
    assert len(text) < 3_000_000
    assert "<b>K" not in text and "&lt;b&gt;Käffee &amp; Co.png" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
