"""Every image is a row in order; equal content is rated once; memory is bounded."""

import os
from pathlib import Path
from unittest import mock

import pytest

from tests import tiny_checkpoints as tiny
from tests.bulk.runs import COLUMNS, run
from vlm_aes.bulk import ScoreOptions, Sink, find_image_paths, score_images
from vlm_aes.errors import SourceError
from vlm_aes.output.results import read_rows


def test_one_image_that_the_model_cannot_take_is_one_error(assessor, folder, monkeypatch):
    good, _ = run(assessor, folder)
    poison, real = good[2]["sha256"], assessor.score_prepared

    def failing(images, **options):
        """Gives up on one image and on large batches."""
        if len(images) > 2 or any(image.loaded.sha256 == poison for image in images):
            raise RuntimeError("out of memory")
        return real(images, **options)

    monkeypatch.setattr(assessor, "score_prepared", failing)
    done, stats = run(assessor, folder)
    assert stats.errors["model"] == 1
    assert done[2]["error"].startswith("model: the model failed on it (out of memory); try")
    for row, wanted in zip(done, good, strict=True):
        assert row["error"] or row["score"] == pytest.approx(wanted["score"], abs=0.01)


@pytest.mark.parametrize("with_sink", [True, False])
def test_many_names_of_few_files_are_opened_once_each(assessor, tmp_path, monkeypatch, with_sink):
    monkeypatch.setattr("vlm_aes.bulk.sink.SHARD_ROWS", 16)
    monkeypatch.setattr("vlm_aes.bulk.pipeline.CACHED_ROWS", 3 if with_sink else 20)
    for copy in range(12):
        place = tmp_path / "photos" / f"{copy:02d}"
        place.mkdir(parents=True)
        for i, image in enumerate(tiny.images(7)):
            if copy:
                os.link(tmp_path / "photos" / "00" / f"{i}.png", place / f"{i}.png")
            else:
                image.save(place / f"{i}.png")
    out = tmp_path / "t.jsonl" if with_sink else None
    with (
        mock.patch.object(assessor, "prepare", wraps=assessor.prepare) as prepare,
        mock.patch.object(assessor, "score_prepared", wraps=assessor.score_prepared) as score,
    ):
        done, stats = run(assessor, tmp_path / "photos", out)
    rated = sum(len(call.args[0]) for call in score.call_args_list)
    assert (len(prepare.call_args_list), rated, stats.rated, stats.repeated, len(done)) == (7, 7, 7, 77, 84)
    assert len({(Path(row["path"]).name, row["sha256"], row["score"]) for row in done}) == 7
    if with_sink:
        assert [r["path"] for r in read_rows(out, COLUMNS.schema)] == [r["path"] for r in done]


def test_little_room_for_decoded_images_ends_no_run(assessor, folder, monkeypatch):
    monkeypatch.setattr("vlm_aes.bulk.prefetch.MAX_WAITING_BYTES", 1)
    done, stats = run(assessor, folder)
    assert (len(done), stats.rated, stats.repeated, stats.errors) == (11, 9, 1, {"not_an_image": 1})


def test_a_source_that_fails_midway_says_so_and_keeps_what_is_done(assessor, folder, tmp_path):
    def sources():
        yield from find_image_paths([str(folder)])
        raise SourceError("t.csv breaks")

    with Sink(str(tmp_path / "t.csv"), COLUMNS.schema) as sink, pytest.raises(SourceError, match="t.csv breaks"):
        list(score_images(assessor, sources(), COLUMNS, ScoreOptions(), batch_size=2, sink=sink))
    _, stats = run(assessor, folder, tmp_path / "t.csv", resume=True)
    assert stats.resumed >= 8
