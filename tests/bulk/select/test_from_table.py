"""``choose`` from a finished table: bursts, distinct images, bands."""

import pytest
from typer.testing import CliRunner

from tests.bulk.select.photos import photo, save
from vlm_aes.bulk.select.from_table import parse_bands
from vlm_aes.cli import app
from vlm_aes.images.degrade import degrade


@pytest.mark.parametrize("wrong", ["", "x", "60,40", "0", "100", "40,40", "nan"])
def test_wrong_bands_are_refused(wrong):
    with pytest.raises(ValueError, match="--bands"):
        parse_bands(wrong)


def test_the_commands(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    save(photo(), place / "1.png", 1_700_000_000)
    save(degrade(photo(), "underexposure", 0.8), place / "2.png", 1_700_000_001)
    save(photo("coffee"), place / "3.png", 1_700_000_100)
    table = tmp_path / "t.csv"

    def run(*words):
        done = CliRunner().invoke(app, [str(w) for w in words])
        return done.exit_code, done.stdout.splitlines(), done.stderr

    assert run("score", place, "--fast", "--out", table)[0] == 0
    code, found, error = run("choose", table, "--top-k", 1, "--per", "burst")
    assert (code, sorted(found)) == (0, [str(place / "1.png"), str(place / "3.png")]), error
    code, found, _ = run("choose", table, "--fraction", 1, "--distinct")
    assert code == 0 and str(place / "3.png") in found and len(found) == 2
    code, found, _ = run("choose", table, "--bands", "20,60")
    assert code == 0 and len(found) == 3
    assert {line.split("\t")[0] for line in found} <= {"0-20", "20-60", "60-100"}
    assert run("choose", table, "--bands", "20,60", "--copy", tmp_path / "sorted")[0] == 0
    assert len(list((tmp_path / "sorted").glob("*/*.png"))) == 3
    assert run("choose", "--undo", tmp_path / "sorted")[0] == 0
    assert not list((tmp_path / "sorted").iterdir()) and len(list(place.iterdir())) == 3
    assert run("choose", table, "--bands", "20", "--top-k", 1)[0] == 2
    assert run("score", place, "--top-k", 1, "--per", "burst")[0] == 2
