"""Asking about two pictures at once: both orders, and a clear no where one cannot."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests import tiny_checkpoints

from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.explain.compare import compare
from vlm_aes.models.vlm import load_backbone
from vlm_aes.models.vlm.pairwise import Pairwise
from vlm_aes.models.vlm.rater import Rater
from vlm_aes.prompts import PairQuestion, load_prompt

# the tiny tokenizers know the rating words as tokens, and few others
PROMPT = replace(
    load_prompt("default"),
    pair=PairQuestion("Which is better?", "The image is", (" good", " bad")),
)


def rater_of(tiny_checkpoint, family):
    return Rater(load_backbone(tiny_checkpoint(family)), PROMPT)


@pytest.mark.parametrize("family", ["qwen3_5", "llava_onevision"])
def test_the_place_of_a_picture_does_not_matter(tiny_checkpoint, family):
    pairwise = Pairwise(rater_of(tiny_checkpoint, family))
    a, b = tiny_checkpoints.pictures(2)
    there, back = pairwise.preferred(a, b), pairwise.preferred(b, a)
    assert 0 < there < 1
    assert there == pytest.approx(1 - back, abs=1e-4)
    assert pairwise.preferred(a, a) == pytest.approx(0.5, abs=1e-4)


def test_no_question_no_answer(tiny_checkpoint):
    rater = rater_of(tiny_checkpoint, "qwen3_5")
    rater.prompt = replace(rater.prompt, pair=None)
    with pytest.raises(CheckpointError, match="no question about a pair"):
        Pairwise(rater)


def test_compare_asks_about_neighbours(tiny_checkpoint, tmp_path: Path):
    assessor = Assessor.from_pretrained(tiny_checkpoint("qwen3_5"), prompt="default")
    assessor.rater.prompt = PROMPT
    paths = []
    for number, image in enumerate(tiny_checkpoints.pictures(3)):
        image.save(tmp_path / f"{number}.png")
        paths.append(str(tmp_path / f"{number}.png"))
    found = compare(assessor, paths)
    order = [a.path for a in found.order]
    asked = {(p.a, p.b) for p in found.pairs if p.p_asked is not None}
    assert asked == {(order[0], order[1]), (order[1], order[2])}
    back = compare(assessor, paths[::-1])
    assert [(p.a, p.b) for p in back.pairs] == [(p.a, p.b) for p in found.pairs]
    for one, other in zip(found.pairs, back.pairs, strict=True):
        assert other.p_a == pytest.approx(one.p_a, abs=1e-4)
        assert other.p_asked == (one.p_asked and pytest.approx(one.p_asked, abs=1e-4))
