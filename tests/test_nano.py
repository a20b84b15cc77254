"""The embedded checkpoint: its size, its terms, and the frozen scores of the sample photos.

Frozen scores change only on purpose: ``python tests/test_nano.py`` prints the new ones.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from vlm_aes.finetune.nano.voice import FAULT_WORDS

from vlm_aes import Assessor
from vlm_aes.assessor import NANO
from vlm_aes.samples import PHOTOS, write_samples
from vlm_aes.spoil import FAULTS

FROZEN = Path(__file__).parent / "frozen_scores.json"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return write_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def nano():
    return Assessor.from_pretrained(precision="fp32")


def test_small_enough_and_with_its_terms():
    assert sum(f.stat().st_size for f in NANO.glob("*.safetensors")) <= 12e6
    assert "non-commercial" in (NANO / "LICENSE-WEIGHTS").read_text()
    card = (NANO / "README.md").read_text()
    assert "SRCC" in card
    assert "PARA" in card


def test_says_its_terms_on_stderr(capsys):
    Assessor.from_pretrained()
    captured = capsys.readouterr()
    assert "non-commercial" in captured.err
    assert captured.out == ""


def scores_of(nano, samples):
    return {p.name: round(a.score, 3) for p, a in zip(samples, nano.assess(samples, facts=False))}


def test_frozen_scores(nano, samples):
    frozen = json.loads(FROZEN.read_text())["pil"]
    found = scores_of(nano, samples)
    assert list(found) == list(frozen)
    for name, score in frozen.items():
        assert found[name] == pytest.approx(score, abs=0.01), name


def test_same_picture_same_score_and_critique(nano, samples):
    some = samples[:16]
    together = nano.assess(some, rationale=True, facts=False, batch_size=16)
    turned = nano.assess(some[::-1], rationale=True, facts=False, batch_size=5)[::-1]
    for path, a, b in zip(some, together, turned):
        alone = nano.assess(path, rationale=True, facts=False)
        assert a.score == pytest.approx(alone.score, abs=0.01)
        assert a.score == pytest.approx(b.score, abs=0.01)
        assert a.critique == b.critique == alone.critique


def test_spoiled_copies_are_mostly_rated_below(nano, samples):
    scores = scores_of(nano, samples)
    pairs = [
        (scores[Path(photo).stem + ".png"], scores[f"{Path(photo).stem}-{fault}.png"])
        for photo in PHOTOS
        for fault in FAULTS
    ]
    assert np.mean([spoiled < plain for plain, spoiled in pairs]) >= 0.8


def test_every_score_says_what_it_is_worth(nano, samples):
    for a in nano.assess(samples, facts=False, attributes=True):
        assert 0 <= a.score_low < a.score_high <= 100
        assert 0 <= a.percentile <= 100
        assert set(a.residuals) == set(a.attributes)


def test_what_spoils_a_copy_is_named(nano, samples):
    named = {
        fault: [bool(FAULT_WORDS[fault].search(a.critique))
                for p, a in zip(samples, nano.assess(samples, rationale=True, facts=False))
                if p.stem.endswith(f"-{fault}")]
        for fault in ("blur", "noise")
    }  # fmt: skip
    assert all(np.mean(found) >= 0.75 for found in named.values()), named


def test_photos_and_their_spoiled_copies_are_no_strangers(nano, samples):
    warned = [a.warning for a in nano.assess(samples, facts=False)]
    assert np.mean([w == "" for w in warned]) >= 0.85, warned


def test_critiques_are_sentences(nano, samples):
    critiques = [a.critique for a in nano.assess(samples, rationale=True, facts=False)]
    assert all(c and c[0].isupper() and c[-1] == "." for c in critiques), critiques
    assert len(set(critiques)) > 0.8 * len(critiques)


def test_prompts_of_training_are_the_prompts_of_inference(nano):
    from vlm_aes.finetune.nano.language import prompt_ids

    backbone = nano.rater.backbone
    from PIL import Image

    picture = [Image.new("RGB", (40, 30), (10, 90, 60))]
    for attribute in (None, *nano.prompt.questions):
        question, stem = nano.prompt.asked(attribute)
        text = nano.rater._render(attribute, None)
        encoded = backbone.encode(picture, [text])["input_ids"][0].tolist()
        assert encoded == prompt_ids(backbone.tokenizer, question, stem)
    asked = nano.prompt.faults
    text = nano.rater._render_faults()
    encoded = backbone.encode(picture, [text])["input_ids"][0].tolist()
    assert encoded == prompt_ids(backbone.tokenizer, asked.question, asked.stem)
    for fault, step in (("blur", None), (None, "Give it more exposure"), (None, None)):
        instruction = nano.critic.instruction("Measured: dark.", 40.0, "poor", fault, step)
        text = nano.critic.render(instruction)
        encoded = backbone.encode(picture, [text])["input_ids"][0].tolist()
        assert encoded == prompt_ids(backbone.tokenizer, instruction, nano.prompt.critique_stem)
        assert ("Better so: Give it more exposure." in instruction) == bool(step)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = scores_of(Assessor.from_pretrained(precision="fp32"), write_samples(Path(folder)))
    FROZEN.write_text(json.dumps({"pil": found}, indent=1) + "\n")
    print(FROZEN.read_text())
