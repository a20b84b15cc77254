import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import tiny_checkpoints as tiny


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 24 images."""
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(tiny.images(24)):
        image.save(folder / f"{i}.png")
    return folder


def write_table(folder, records, suffix=".csv"):
    file = folder / f"t{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), file)
    elif suffix == ".jsonl":
        file.write_text("\n\n".join(map(json.dumps, records)))
    else:
        with file.open("w", encoding="utf-8-sig", newline="") as lines:
            names = list(dict.fromkeys(name for record in records for name in record))
            table = csv.DictWriter(lines, names, delimiter="\t" if suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(records)
    return file
