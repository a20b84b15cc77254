"""``choose`` from a finished table; what it chooses stands in ``tests/golden/choose.json``."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from PIL import Image

from tests.bulk.select.photos import looks_of
from tests.cli import run
from vlm_aes.bulk.select.cut import Cut
from vlm_aes.bulk.select.from_table import ScoredTable, choose_rows, parse_bands
from vlm_aes.output.table import BASE_COLUMNS, to_table


@pytest.mark.parametrize("wrong", ["", "x", "60,40", "0", "100", "40,40", "nan"])
def test_wrong_bands_are_refused(wrong):
    with pytest.raises(ValueError, match="--bands"):
        parse_bands(wrong)


def test_images_with_a_warning_are_left_out_and_counted(tmp_path):
    table = tmp_path / "t.csv"
    schema = pa.schema(BASE_COLUMNS)
    given = [("a.png", 90.0, "not_a_photo", None), ("b.png", 80.0, None, None), ("c.png", 70.0, "damaged", None),
             ("d.png", None, None, "missing: x"), ("e.png", 60.0, None, None)]  # fmt: skip
    keys = ("path", "score", "warning", "error")
    rows = [dict.fromkeys(schema.names) | dict(zip(keys, values, strict=True)) for values in given]
    pa.csv.write_csv(to_table(rows, schema), table)
    chosen = run("choose", table, "--fraction", "1", "--skip-warned")
    assert chosen.exit_code == 0 and chosen.stdout.split() == ["b.png", "e.png"]
    assert "2 with a warning left out" in chosen.stderr
    assert run("choose", table, "--bands", "75", "--skip-warned").stdout == "75-100\tb.png\n0-75\te.png\n"
    assert run("choose", table, "--top-k", "1").stdout == "a.png\n"


def exposure(path, second, bias=0, mode=0):
    """A photo of a camera that was set to this exposure compensation."""
    exif = Image.Exif()
    exif[0x0110] = "camera"
    tags = {0x9003: f"2024:05:06 07:08:{second:02d}", 0x9204: float(bias), 0xA402: mode, 0x829A: 0.01 * 2.0**bias}
    exif.get_ifd(0x8769).update(tags | {0x8827: 100, 0x829D: 8.0})
    Image.new("RGB", (32, 24)).save(path, "TIFF" if path.suffix == ".dng" else "JPEG", exif=exif)


@pytest.mark.parametrize("distinct", [False, True])
def test_sets_stay_whole_and_bursts_give_their_best(tmp_path, distinct):
    settings = ((1, 0, 2), (2, -1, 2), (3, 1, 2), (3, 1, 2), (30, 0, 0), (31, 0, 0))
    scores = dict(zip(("0.jpg", "1.jpg", "2.jpg", "2.dng", "3.jpg", "4.jpg"), (50, 20, 30, 30, 70, 60), strict=True))
    files, rows, schema = list(scores), [], pa.schema(BASE_COLUMNS)
    for name, values in zip(files, settings, strict=True):
        exposure(tmp_path / name, *values)
        row = {"path": str(tmp_path / name), "score": float(scores[name]), "width": 32, "height": 24}
        rows.append(dict.fromkeys(schema.names) | row)
    pa.csv.write_csv(to_table(rows, schema), tmp_path / "t.csv")
    lines = []

    def chosen(cut):
        def extract(paths):
            return looks_of(np.ones((len(paths), 2)))

        rows = choose_rows(ScoredTable(tmp_path / "t.csv"), cut, extract, distinct=distinct, say=lines.append)
        return [row["path"].rpartition("/")[2] for row in rows]

    assert sorted(chosen(Cut(top_k=1, per="burst"))) == sorted(files[:5])
    assert lines == ["sets that stay whole, such as brackets: 1 (4 images)"]
    assert sorted(chosen(Cut(threshold=45, per="burst")))[:4] == sorted(files[:4])
    assert chosen(Cut(threshold=65, per="burst")) == ["3.jpg"]
