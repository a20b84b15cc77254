"""Every image is a row in order; equal content is rated once; memory is bounded."""

import os
from pathlib import Path

import pytest

from tests import tiny_checkpoints as tiny
from tests.bulk.runs import COLUMNS, run
from vlm_aes.bulk import ScoreOptions, Sink, find_image_paths, score_images
from vlm_aes.errors import SourceError
from vlm_aes.output.results import read_rows


def test_every_file_a_row_and_equal_content_rated_once(assessor, folder):
    done, stats = run(assessor, folder)
    by_name = {Path(r["path"]).name: r for r in done}
    assert len(done) == 11
    assert by_name["bad.jpg"]["error"].startswith("not_an_image: ")
    assert by_name["bad.jpg"]["score"] is None
    assert by_name["c.png"]["score"] == by_name["0.png"]["score"]
    assert (stats.rated, stats.repeated, dict(stats.errors)) == (9, 1, {"not_an_image": 1})


class Failing:
    """An assessor whose model gives up on one picture and on large batches."""

    def __init__(self, assessor, poison):
        self.real, self.poison = assessor, poison

    def __getattr__(self, name):
        return getattr(self.real, name)

    def score_prepared(self, images, **options):
        if len(images) > 2 or any(image.loaded.sha256 == self.poison for image in images):
            raise RuntimeError("out of memory")
        return self.real.score_prepared(images, **options)


def test_one_image_that_the_model_cannot_take_is_one_error(assessor, folder):
    good, _ = run(assessor, folder)
    poison = good[2]["sha256"]
    done, stats = run(Failing(assessor, poison), folder)
    assert stats.errors["model"] == 1
    wrong = next(r for r in done if r["sha256"] == poison)
    assert wrong["error"].startswith("model: the model failed on it (out of memory); try")
    scores = {r["path"]: r["score"] for r in good}
    for row in done:
        if not row["error"]:
            assert row["score"] == pytest.approx(scores[row["path"]], abs=0.01)


class Counting:
    """An assessor that counts what it opens and rates, and rates nothing truly."""

    def __init__(self, assessor):
        self.real, self.opened, self.rated = assessor, 0, 0

    def __getattr__(self, name):
        return getattr(self.real, name)

    def prepare(self, data, **options):
        self.opened += 1
        return self.real.prepare(data, **options)

    def score_prepared(self, images, **options):
        self.rated += len(images)
        return self.real.score_prepared(images, **options)


@pytest.mark.parametrize("with_sink", [True, False])
def test_many_names_of_few_files_are_opened_once_each(assessor, tmp_path, monkeypatch, with_sink):
    monkeypatch.setattr("vlm_aes.bulk.sink.SHARD_ROWS", 16)
    monkeypatch.setattr("vlm_aes.bulk.pipeline.CACHED_ROWS", 20 if not with_sink else 3)
    for i, image in enumerate(tiny.images(7)):
        for copy in range(12):
            place = tmp_path / "photos" / f"{copy:02d}"
            place.mkdir(parents=True, exist_ok=True)
            first = tmp_path / "photos" / "00" / f"{i}.png"
            if copy:
                os.link(first, place / f"{i}.png")
            else:
                image.save(first)
    counting = Counting(assessor)
    out = tmp_path / "t.jsonl" if with_sink else None
    done, stats = run(counting, tmp_path / "photos", out)
    assert (counting.opened, counting.rated, len(done)) == (7, 7, 84)
    assert (stats.rated, stats.repeated) == (7, 77)
    by_name = {}
    for row in done:
        by_name.setdefault(Path(row["path"]).name, set()).add((row["sha256"], row["score"]))
    assert all(len(values) == 1 for values in by_name.values())
    if with_sink:
        assert [r["path"] for r in read_rows(out, COLUMNS.schema)] == [r["path"] for r in done]


def test_little_room_for_decoded_images_ends_no_run(assessor, folder, monkeypatch):
    monkeypatch.setattr("vlm_aes.bulk.prefetch.MAX_WAITING_BYTES", 1)
    done, stats = run(assessor, folder)
    assert (len(done), stats.rated) == (11, 9)


def test_a_source_that_fails_midway_says_so_and_keeps_what_is_done(assessor, folder, tmp_path):
    def sources():
        yield from find_image_paths([str(folder)])
        raise SourceError("t.csv breaks")

    with Sink(str(tmp_path / "t.csv"), COLUMNS.schema) as sink, pytest.raises(SourceError, match="t.csv breaks"):
        list(score_images(assessor, sources(), COLUMNS, ScoreOptions(), batch_size=2, sink=sink))
    _, stats = run(assessor, folder, tmp_path / "t.csv", resume=True)
    assert stats.resumed >= 8
