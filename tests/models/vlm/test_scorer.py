"""Same image, same score: alone or in any batch, in any order, for every family."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.explain.compare import compare
from vlm_aes.models.vlm import load_backbone
from vlm_aes.models.vlm import scorer as vlm_scorer
from vlm_aes.models.vlm.families import family_of
from vlm_aes.models.vlm.scorer import PairComparator, VlmScorer
from vlm_aes.prompts import PairQuestion, load_prompt
from vlm_aes.ratings import scale as ratings

PROMPT = replace(load_prompt("default"), facts_line="{facts}")
EIGHT = tiny.images(8)
SIXTEEN = tiny.images(16, seed=5)
FACTS = ["", "Measured: very dark. " * 6, "Sharp. ", "Soft. " * 20]
"""Facts of unequal length, so that rows are padded whatever the family makes of its images."""


def load(family, tiny_checkpoint):
    if family == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    return VlmScorer(load_backbone(tiny_checkpoint(family)), PROMPT)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def scorer(request, tiny_checkpoint):
    scorer = load(request.param, tiny_checkpoint)
    tiny.stretch(scorer, EIGHT)
    return scorer


def scores_of(scorer, images, facts=None):
    return ratings.score(scorer.predict(images, facts=facts)[:, 0])


def worst_difference(scorer):
    """Between an image alone, in a batch of 16, and in the batch turned round."""
    alone = np.array([scores_of(scorer, [image])[0] for image in SIXTEEN])
    turned = scores_of(scorer, SIXTEEN[::-1])[::-1]
    return max(abs(alone - scores_of(scorer, SIXTEEN)).max(), abs(alone - turned).max())


def test_same_image_same_score_and_a_mixed_up_batch_is_noticed(scorer, monkeypatch):
    assert np.ptp(scores_of(scorer, EIGHT)) >= 20
    assert worst_difference(scorer) < 0.01
    encode = scorer.backbone.encode
    monkeypatch.setattr(scorer.backbone, "encode", lambda images, texts, look=None: encode(list(images)[::-1], texts))
    assert worst_difference(scorer) > 0.01


def test_a_mirrored_rating_is_that_of_the_mirror_image(scorer):
    both = VlmScorer(scorer.backbone, replace(scorer.prompt, mirrored=True))
    asked = list(both.prompt.questions)[:1]
    turned = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in EIGHT]
    found = both.hidden_states(EIGHT, asked)
    assert torch.allclose(both.hidden_states(turned, asked), found, atol=1e-5)
    mean = (scorer.hidden_states(EIGHT, asked) + scorer.hidden_states(turned, asked)) / 2
    assert torch.allclose(found, mean, atol=1e-5)
    assert not torch.allclose(scorer.hidden_states(EIGHT, asked), found, atol=1e-4)
    assert both.prompt_id != scorer.prompt_id


def unequal_difference(scorer):
    alone = [scores_of(scorer, [image], [facts])[0] for image, facts in zip(EIGHT, FACTS)]
    return abs(scores_of(scorer, EIGHT[:4], FACTS) - alone).max()


def test_unequal_texts_same_score_and_padding_on_the_wrong_side_is_noticed(scorer, monkeypatch):
    facts = scorer.predict(EIGHT[:1], facts=[FACTS[1]])
    assert abs(facts - scorer.predict(EIGHT[:1])).max() > 1e-3  # they reach the model
    assert unequal_difference(scorer) < 0.01
    monkeypatch.setattr(scorer.backbone, "padding_side", "right")
    assert unequal_difference(scorer) > 0.01


def test_positions_of_another_row_are_noticed(scorer, monkeypatch):
    backbone = scorer.backbone
    if backbone.multimodal_rope:
        inner = backbone.model.model
        real = inner.get_rope_index

        def exchanged(*args, **kwargs):
            positions, deltas = real(*args, **kwargs)
            return positions.roll(1, dims=1), deltas

        monkeypatch.setattr(inner, "get_rope_index", exchanged)
    else:
        positions = backbone.positions
        monkeypatch.setattr(backbone, "positions", lambda mask: {k: v.roll(1, 0) for k, v in positions(mask).items()})
    assert unequal_difference(scorer) > 0.01


def test_five_rows_equal_the_full_logits(scorer):
    backbone = scorer.backbone
    # in double precision: stretched weights lose digits in single, in both ways differently
    backbone.model.double()
    try:
        inputs = backbone.encode(EIGHT[:3], [scorer.tokenized.render()] * 3)
        with torch.inference_mode():
            rows = backbone.token_logits(backbone.last_hidden(inputs), scorer.word_ids)
            positions = backbone.positions(inputs["attention_mask"])
            full = backbone.model(**inputs, **positions).logits[:, -1, scorer.word_ids]
        kept = backbone.full_logits(inputs)[:, scorer.word_ids]
    finally:
        backbone.model.float()
    assert (rows.softmax(-1) - full.softmax(-1)).abs().max() < 1e-5
    assert (kept - full).abs().max() < 1e-9


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_five_rows_equal_the_full_logits_in_single_precision(tiny_checkpoint, family):
    plain = load(family, tiny_checkpoint)
    inputs = plain.backbone.encode(EIGHT[:3], [plain.tokenized.render()] * 3)
    rows = plain.probabilities(plain.backbone.last_hidden(inputs))
    full = plain.backbone.full_logits(inputs)[:, plain.word_ids].double().softmax(-1).numpy()
    assert abs(rows - full).max() < 1e-5


def prefix_difference(scorer, images=EIGHT, facts=None):
    attributes = list(PROMPT.questions)
    shared = scorer.predict(images, attributes, facts=facts)
    facts = facts or [None] * len(images)
    apart = [scorer.probabilities(scorer._last_hidden(images, a, facts)) for a in (None, *attributes)]
    return abs(shared - np.stack(apart, 1)).max()


def test_questions_share_their_prefix_and_untested_families_read_each_in_full(scorer, monkeypatch):
    assert scorer.tokenized.shared_prefix([None, *PROMPT.questions], [None]) is not None
    assert prefix_difference(scorer) < 1e-4
    prefixes, suffixes = scorer.tokenized.shared_prefix([None, *PROMPT.questions], FACTS)
    assert (len(set(prefixes)), len(suffixes)) == (len(FACTS), 1 + len(PROMPT.questions))
    assert prefix_difference(scorer, EIGHT[:4], FACTS) < 1e-4
    monkeypatch.setattr(scorer.backbone, "shares_prefix", False)
    monkeypatch.setattr(vlm_scorer, "prefill", None)
    assert prefix_difference(scorer, EIGHT[:2]) < 1e-4


def test_wrong_positions_are_noticed(scorer, monkeypatch):
    real = vlm_scorer.continue_from

    def shifted(backbone, prefix, suffixes):
        if backbone.multimodal_rope:
            prefix.rope_deltas = prefix.rope_deltas + 7
            return real(backbone, prefix, suffixes)
        inner = backbone.language_model
        forward = inner.forward
        monkeypatch.setattr(inner, "forward", lambda position_ids, **kw: forward(position_ids=position_ids + 7, **kw))
        return real(backbone, prefix, suffixes)

    monkeypatch.setattr(vlm_scorer, "continue_from", shifted)
    assert prefix_difference(scorer) > 1e-4


def test_inputs_that_a_family_silently_needs(scorer, monkeypatch):
    processor = scorer.backbone.processor
    for name in family_of(scorer.backbone.family).required_inputs:

        def without(*args, dropped=name, **kwargs):
            return {k: v for k, v in processor(*args, **kwargs).items() if k != dropped}

        monkeypatch.setattr(scorer.backbone, "processor", without)
        with pytest.raises(CheckpointError, match=f"{scorer.backbone.model_id}.*gives no {name}"):
            VlmScorer(scorer.backbone, PROMPT)


def test_critiques_are_generated_in_batches(scorer):
    texts = [scorer.tokenized.render()] * 3
    together = scorer.backbone.generate(EIGHT[:3], texts, 4)
    assert len(together) == 3 and together[1] == scorer.backbone.generate(EIGHT[1:2], texts[:1], 4)[0]


def test_a_head_that_is_not_known_is_refused_and_one_that_gives_no_number_gives_no_score(llava, monkeypatch):
    backbone = load_backbone(llava)
    backbone.shares_prefix = False
    scorer, real = VlmScorer(backbone, PROMPT), backbone.full_logits
    monkeypatch.setattr(backbone, "full_logits", lambda inputs: real(inputs) * 40)
    with pytest.raises(CheckpointError, match="not supported yet"):
        VlmScorer(backbone, PROMPT)
    with torch.no_grad():
        backbone.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(RuntimeError, match="gives no number in torch.float32"):
        scorer.predict(EIGHT[:1])


# the tiny tokenizers know the rating words as tokens, and few others
PAIR_PROMPT = replace(load_prompt("default"), pair=PairQuestion("Which is better?", "The image is", (" good", " bad")))


@pytest.mark.parametrize("family", ["qwen3_5", "llava_onevision"])
def test_the_place_of_an_image_does_not_matter_and_a_question_is_needed(tiny_checkpoint, family):
    scorer = VlmScorer(load_backbone(tiny_checkpoint(family)), PAIR_PROMPT)
    comparator, (a, b) = PairComparator(scorer), tiny.images(2)
    forward, backward = comparator.preference(a, b), comparator.preference(b, a)
    assert 0 < forward < 1 and forward == pytest.approx(1 - backward, abs=1e-4)
    assert comparator.preference(a, a) == pytest.approx(0.5, abs=1e-4)
    scorer.prompt = replace(scorer.prompt, pair=None)
    with pytest.raises(CheckpointError, match="no question about a pair"):
        PairComparator(scorer)


def test_compare_asks_about_neighbours(tiny_checkpoint, tmp_path):
    assessor = Assessor.from_pretrained(tiny_checkpoint("qwen3_5"), prompt="default")
    assessor.rater.prompt = PAIR_PROMPT
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path, image in zip(paths, tiny.images(3), strict=True):
        image.save(path)
    found = compare(assessor, paths)
    order = [a.path for a in found.order]
    asked = {(p.a, p.b) for p in found.pairs if p.p_asked is not None}
    assert asked == {(order[0], order[1]), (order[1], order[2])}
    back = compare(assessor, paths[::-1])
    for one, other in zip(found.pairs, back.pairs, strict=True):
        assert (other.a, other.b) == (one.a, one.b)
        assert other.p_a == pytest.approx(one.p_a, abs=1e-4)
        assert other.p_asked == (one.p_asked and pytest.approx(one.p_asked, abs=1e-4))
