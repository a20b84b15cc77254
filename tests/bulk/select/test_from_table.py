"""``choose`` from a finished table; what it chooses stands in ``tests/golden/choose.json``."""

import pyarrow as pa
import pyarrow.csv
import pytest

from tests.cli import run
from vlm_aes.bulk.select.from_table import parse_bands
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
