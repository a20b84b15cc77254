import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests import tiny_checkpoints as tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.bulk import Sink, RunStats, ScoreOptions, find_image_paths, rows
from vlm_aes.errors import OutputError, SourceError
from vlm_aes.output import table
from vlm_aes.output.table import Columns
from vlm_aes.ratings.scale import Scale

COLUMNS = Columns()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.build("fast_vlm", tmp_path_factory.mktemp("tiny") / "fast_vlm")


@pytest.fixture(scope="module")
def assessor(checkpoint):
    return Assessor.from_pretrained(checkpoint)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "photos"
    (pictures / "b").mkdir(parents=True)
    for i, image in enumerate(tiny.pictures(9)):
        image.save(pictures / ("b" if i % 2 else ".") / f"{i}.png")
    (pictures / "c.png").write_bytes((pictures / "0.png").read_bytes())
    (pictures / "bad.jpg").write_text("no picture")
    (pictures / ".hidden.png").write_bytes((pictures / "0.png").read_bytes())
    (pictures / "notes.txt").write_text("x")
    return pictures


def run(assessor, folder, out=None, columns=COLUMNS, limit=None, **sink_options):
    tally = RunStats()
    paths = find_image_paths([str(folder)])
    if out is None:
        return list(rows(assessor, paths, columns, ScoreOptions(), batch_size=4, tally=tally)), tally
    done = []
    with Sink(str(out), columns.schema, **sink_options) as sink:
        for row in rows(assessor, paths, columns, ScoreOptions(), batch_size=4, sink=sink, tally=tally):
            done.append(row)
            if limit is not None and len(done) >= limit:
                sink.flush()
                return done, tally
        sink.finish()
    return done, tally


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
    assert list(find_image_paths(["-"], ["photos/0.png\n", "\n", "gone.png\n"])) == [
        "photos/0.png", "gone.png"]  # fmt: skip
    assert next(find_image_paths(["./photos"])) == "./photos/0.png"
    assert list(find_image_paths(["notes.txt"])) == ["notes.txt"]
    (folder / "a[1].png").write_bytes((folder / "0.png").read_bytes())
    assert list(find_image_paths(["photos/a[1].png"])) == ["photos/a[1].png"]


def test_every_file_a_row_and_equal_content_rated_once(assessor, folder):
    done, tally = run(assessor, folder)
    by_name = {Path(r["path"]).name: r for r in done}
    assert len(done) == 11
    assert by_name["bad.jpg"]["error"].startswith("not_an_image: ")
    assert by_name["bad.jpg"]["score"] is None
    assert by_name["c.png"]["score"] == by_name["0.png"]["score"]
    assert (tally.rated, tally.repeated, dict(tally.errors)) == (9, 1, {"not_an_image": 1})


@pytest.mark.parametrize("suffix", table.FORMATS)
def test_formats_hold_the_same(assessor, folder, tmp_path, suffix):
    done, _ = run(assessor, folder, tmp_path / f"t{suffix}")
    assert table.read(tmp_path / f"t{suffix}", COLUMNS.schema) == done
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", f"t{suffix}"]
    assert "NaN" not in (tmp_path / f"t{suffix}").read_bytes().decode("utf-8", "ignore")


def test_an_existing_file_is_not_overwritten_unasked(assessor, folder, tmp_path):
    out = tmp_path / "t.csv"
    out.write_text("precious")
    with pytest.raises(OutputError, match="--resume goes on with it, --overwrite replaces it"):
        run(assessor, folder, out)
    assert out.read_text() == "precious"
    run(assessor, folder, out, overwrite=True)
    assert out.read_text().startswith("path,sha256")
    with pytest.raises(OutputError, match="ends in .csv"):
        Sink(str(tmp_path / "t.xlsx"), COLUMNS.schema)


def test_second_run_on_one_file_is_refused(tmp_path):
    with (
        Sink(str(tmp_path / "t.csv"), COLUMNS.schema),
        pytest.raises(OutputError, match="another run"),
        Sink(str(tmp_path / "t.csv"), COLUMNS.schema, resume=True),
    ):
        pass


def same_rows(one, other):
    """Equal, numbers within what another batch may change."""
    assert len(one) == len(other)
    for a, b in zip(one, other):
        for name, value in a.items():
            near = isinstance(value, float)
            assert b[name] == (pytest.approx(value, abs=0.01) if near else value), name


@settings(max_examples=12, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(cuts=st.lists(st.integers(1, 10), max_size=3), suffix=st.sampled_from(table.FORMATS))
def test_resume_gives_the_same_table(assessor, folder, tmp_path_factory, cuts, suffix):
    place = tmp_path_factory.mktemp("resume")
    for cut in cuts:
        run(assessor, folder, place / f"cut{suffix}", limit=cut, resume=True)
    run(assessor, folder, place / f"cut{suffix}", resume=True)
    run(assessor, folder, place / f"whole{suffix}")
    cut, whole = (
        table.read(place / f"{name}{suffix}", COLUMNS.schema) for name in ("cut", "whole")
    )
    same_rows(cut, whole)


def test_resume_keeps_what_holds_and_redoes_what_changed(assessor, folder, tmp_path):
    out = tmp_path / "t.parquet"
    run(assessor, folder, out)
    (folder / "bad.jpg").unlink()
    tiny.pictures(1, seed=9)[0].save(folder / "2.png")
    done, tally = run(assessor, folder, out, resume=True)
    assert (tally.resumed, tally.rated) == (9, 1)
    assert len(done) == 10
    wider = Columns(facts=True)
    _, tally = run(assessor, folder, out, columns=wider, resume=True)
    assert tally.resumed == 0


def test_a_folder_as_output_holds_shards(assessor, folder, tmp_path):
    out = str(tmp_path / "shards") + "/"
    run(assessor, folder, out)
    assert pq.read_table(out).num_rows == 11
    _, tally = run(assessor, folder, out, resume=True)
    assert tally.resumed == 10


def test_full_disk_keeps_the_good_part(assessor, folder, tmp_path, monkeypatch):
    real = pq.write_table

    def full(data, where, *args, **kwargs):
        if "00000001" in str(where):
            raise OSError(28, "No space left on device")
        return real(data, where, *args, **kwargs)

    monkeypatch.setattr("vlm_aes.bulk.sink.SHARD_ROWS", 4)
    monkeypatch.setattr(pq, "write_table", full)
    out = tmp_path / "t.csv"
    with pytest.raises(OutputError, match=r"No space left.*make room and run again with --resume"):
        run(assessor, folder, out)
    assert not out.exists()
    monkeypatch.setattr(pq, "write_table", real)
    done, tally = run(assessor, folder, out, resume=True)
    assert tally.resumed == 8
    assert len(done) == 11


class Failing:
    """An assessor whose model gives up on one picture and on large batches."""

    def __init__(self, assessor, poison):
        self.real, self.poison = assessor, poison

    def __getattr__(self, name):
        return getattr(self.real, name)

    def score_prepared(self, looked, **wanted):
        if len(looked) > 2 or any(s.picture.sha256 == self.poison for s in looked):
            raise RuntimeError("out of memory")
        return self.real.score_prepared(looked, **wanted)


def test_one_picture_that_the_model_cannot_take_is_one_error(assessor, folder):
    good, _ = run(assessor, folder)
    poison = good[2]["sha256"]
    done, tally = run(Failing(assessor, poison), folder)
    assert tally.errors["model"] == 1
    wrong = next(r for r in done if r["sha256"] == poison)
    assert wrong["error"].startswith("model: the model failed on it (out of memory); try")
    scores = {r["path"]: r["score"] for r in good}
    for row in done:
        if not row["error"]:
            assert row["score"] == pytest.approx(scores[row["path"]], abs=0.01)


@pytest.fixture
def interrupted(checkpoint, tmp_path):
    """A run over 400 pictures that gets a signal once a hundred rows are written: its command, its
    output file, its exit code."""

    def start(signal_number):
        photos = tmp_path / "photos"
        photos.mkdir()
        rng = np.random.default_rng(0)
        for i in range(400):
            pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / f"{i:03d}.png")
        out = tmp_path / "t.jsonl"
        command = [sys.executable, "-m", "vlm_aes.cli", "score", str(photos), "--model",
                   str(checkpoint), "--facts", "--out", str(out)]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        part = tmp_path / "t.jsonl.part"
        deadline = time.monotonic() + 120
        journal = part / "_journal-0001.jsonl"
        while time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > 100:
                break
            time.sleep(0.02)
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal_number)
        _, said = process.communicate()
        assert not out.exists()
        return command, out, process.returncode, said.decode()

    return start


def test_kill_nine_loses_at_most_what_was_in_flight(interrupted):
    command, out, _, _ = interrupted(signal.SIGKILL)
    result = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert " kept" in result.stderr
    columns = Columns(facts=True).schema
    resumed = table.read(out, columns)
    subprocess.run([*command, "--overwrite"], capture_output=True, check=True)
    same_rows(resumed, table.read(out, columns))


def test_interrupted_ends_cleanly_and_keeps_what_is_done(interrupted):
    command, out, code, said = interrupted(signal.SIGINT)
    assert code == 130
    assert said.strip().endswith("vlm-aes: interrupted")
    result = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert " kept" in result.stderr
    assert len(out.read_text().splitlines()) == 400


def test_a_torn_journal_gives_its_whole_rows(assessor, folder, tmp_path):
    out = tmp_path / "t.parquet"
    with Sink(str(out), COLUMNS.schema) as sink:
        for _ in rows(assessor, find_image_paths([str(folder)]), COLUMNS, ScoreOptions(), batch_size=4,
                      sink=sink):  # fmt: skip
            pass
    journal = out.with_name("t.parquet.part") / "_journal-0001.jsonl"
    data = journal.read_bytes()
    journal.write_bytes(data[: len(data) - 40])
    _, tally = run(assessor, folder, out, resume=True)
    assert (tally.resumed, tally.rated + tally.repeated) == (9, 1)
    assert len(table.read(out, COLUMNS.schema)) == 11


def test_a_full_disk_in_the_journal_keeps_what_was_committed(
    assessor, folder, tmp_path, monkeypatch
):
    out, real, calls = tmp_path / "t.csv", os.write, []

    def full(handle, data):
        calls.append(len(data))
        if len(calls) == 2:
            return real(handle, data[:50])
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr("vlm_aes.bulk.sink.os.write", full)
    with pytest.raises(OutputError, match="No space left"):
        run(assessor, folder, out)
    monkeypatch.undo()
    journal = out.with_name("t.csv.part") / "_journal-0001.jsonl"
    kept = journal.read_text().splitlines()
    assert [json.loads(line)["row"]["path"] for line in kept]
    _, tally = run(assessor, folder, out, resume=True)
    assert tally.resumed == len(kept)
    assert len(table.read(out, COLUMNS.schema)) == 11


class Counting:
    """An assessor that counts what it opens and rates, and rates nothing truly."""

    def __init__(self, assessor):
        self.real, self.opened, self.rated, self.held, self.most = assessor, 0, 0, 0, 0

    def __getattr__(self, name):
        return getattr(self.real, name)

    def see(self, data, **options):
        self.opened += 1
        return self.real.see(data, **options)

    def score_prepared(self, looked, **options):
        self.rated += len(looked)
        self.most = max(self.most, len(looked))
        return self.real.score_prepared(looked, **options)


@pytest.mark.parametrize("sinked", [True, False])
def test_many_names_of_few_files_are_opened_once_each(assessor, tmp_path, monkeypatch, sinked):
    monkeypatch.setattr("vlm_aes.bulk.sink.SHARD_ROWS", 16)
    monkeypatch.setattr("vlm_aes.bulk.pipeline.REMEMBERED", 20 if not sinked else 3)
    for i, image in enumerate(tiny.pictures(7)):
        for copy in range(12):
            place = tmp_path / "photos" / f"{copy:02d}"
            place.mkdir(parents=True, exist_ok=True)
            first = tmp_path / "photos" / "00" / f"{i}.png"
            if copy:
                os.link(first, place / f"{i}.png")
            else:
                image.save(first)
    counting = Counting(assessor)
    out = tmp_path / "t.jsonl" if sinked else None
    done, tally = run(counting, tmp_path / "photos", out)
    assert (counting.opened, counting.rated, len(done)) == (7, 7, 84)
    assert (tally.rated, tally.repeated) == (7, 77)
    by_name = {}
    for row in done:
        by_name.setdefault(Path(row["path"]).name, set()).add((row["sha256"], row["score"]))
    assert all(len(values) == 1 for values in by_name.values())
    if sinked:
        assert [r["path"] for r in table.read(out, COLUMNS.schema)] == [r["path"] for r in done]


def test_little_room_for_decoded_pictures_ends_no_run(assessor, folder, monkeypatch):
    monkeypatch.setattr("vlm_aes.bulk.prefetch.HELD_BYTES", 1)
    done, tally = run(assessor, folder)
    assert (len(done), tally.rated) == (11, 9)


def test_a_source_that_fails_midway_says_so_and_keeps_what_is_done(assessor, folder, tmp_path):
    def items():
        yield from find_image_paths([str(folder)])
        raise SourceError("t.csv breaks")

    with (
        Sink(str(tmp_path / "t.csv"), COLUMNS.schema) as sink,
        pytest.raises(SourceError, match="t.csv breaks"),
    ):
        list(rows(assessor, items(), COLUMNS, ScoreOptions(), batch_size=2, sink=sink))
    _, tally = run(assessor, folder, tmp_path / "t.csv", resume=True)
    assert tally.resumed >= 8


def test_scale_is_the_one_asked_for_when_gone_on(assessor, folder, tmp_path):
    out = tmp_path / "t.csv"
    for scale, top in (("1-5", 5), ("1-10", 10)):
        columns = Columns(scale=Scale.parse(scale))
        done, _ = run(assessor, folder, out, columns=columns, resume=True)
        for row in done:
            if not row["error"]:
                scaled = 1 + (top - 1) * row["score"] / 100
                assert row["score_scaled"] == pytest.approx(scaled, abs=1e-4)
