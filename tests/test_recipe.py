"""Nano's recipe: what it packs is what inference sees, and one command makes a checkpoint."""

import hashlib
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skimage.data
import torch
from PIL import Image
from vlm_aes.finetune.nano import __main__ as recipe
from vlm_aes.finetune.nano import revoice
from vlm_aes.finetune.nano.checkpoint import IMAGE_TOKENS, build_model, train_tokenizer
from vlm_aes.finetune.nano.language import Questions, Student
from vlm_aes.finetune.nano.packing import pack
from vlm_aes.finetune.nano.photos import EMOTIONS, is_tuning, is_validation
from vlm_aes.finetune.nano.tower import SIDE, TowerRecipe, augment
from vlm_aes.prompts import load_prompt

from vlm_aes import Assessor, calibration


@pytest.fixture(scope="module")
def questions():
    prompt = load_prompt(recipe.PROMPT)
    texts = [prompt.question, *prompt.questions.values(), *prompt.stems.values(), prompt.critique]
    tokenizer = train_tokenizer(texts * 3, prompt.faults.words.values())
    return Questions(tokenizer, prompt)


def test_packed_questions_do_not_see_each_other(questions):
    torch.manual_seed(0)
    student = Student(build_model(questions.tokenizer, TowerRecipe())).eval()
    critique, _ = questions.critique("Say why.", "The light is flat.")
    segments = [
        [questions.ratings[0], questions.ratings[3], questions.fault],
        [questions.ratings[0], questions.fault, critique],
    ]
    packed = pack(questions.prefix, segments, questions.tokenizer.pad_token_id)
    seen = torch.randn(2, IMAGE_TOKENS, TowerRecipe().hidden_sizes[-1])
    with torch.inference_mode():
        states = student.hidden(packed.ids, packed.mask, seen, packed.positions)
        for row, own in enumerate(segments):
            for number, segment in enumerate(own):
                ids = torch.tensor([questions.prefix + segment])
                alone = student.hidden(ids, torch.ones_like(ids), seen[row : row + 1])[0, -1]
                together = states[row, packed.ends[row, number]]
                assert (alone - together).abs().max() < 1e-4


def test_every_question_begins_with_the_picture_and_ends_with_its_stem(questions):
    image = questions.tokenizer.convert_tokens_to_ids("<image>")
    assert questions.prefix.count(image) == IMAGE_TOKENS
    assert all(image not in ids for ids in questions.ratings)
    assert questions.tokenizer.decode(questions.fault).endswith(questions.prompt.faults.stem)


@pytest.mark.parametrize("side", [SIDE, 96])
def test_augmented_photos_keep_their_size_and_are_repeatable(side):
    batch = np.random.default_rng(0).integers(0, 255, (5, SIDE, SIDE, 3), dtype=np.uint8)
    one, two = (augment(batch, side, np.random.default_rng(3)) for _ in range(2))
    assert one.shape == (5, side, side, 3)
    assert (one == two).all()


def test_validation_and_tuning_are_apart():
    ids = [f"{i}.jpg" for i in range(4000)]
    validation = [is_validation(i, attribute_photo=False) for i in ids]
    tuning = [is_tuning(i) for i in ids]
    assert 0.08 < np.mean(validation) < 0.12
    assert 0.03 < np.mean(tuning) < 0.07
    assert not np.any(np.logical_and(validation, tuning))
    digest = int(hashlib.sha256(b"7.jpg").hexdigest(), 16)
    assert validation[7] == (digest % 10 == 0)


def rated_folder(folder, n):
    """A folder in the layout that the recipe reads, of crops from one photo."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(skimage.data.astronaut())
    rows = []
    for i in range(n):
        left, top = rng.integers(0, 320, 2)
        data = io.BytesIO()
        photo.crop((left, top, left + 192, top + 192)).save(data, "WEBP", quality=80)
        rows.append(
            {
                "image_id": f"{i}.jpg",
                "image": {"bytes": data.getvalue(), "path": None},
                "n_raters": 20,
                "aesthetic_mean": float(rng.uniform(2, 4.5)),
                "quality_mean": float(rng.uniform(2, 4.5)),
                **{f"emotion_{name}": int(rng.integers(0, 9)) for name in EMOTIONS},
            }
        )
    attributes = [
        r | {"image_id": f"a{i}.jpg", "object_emphasis_mean": float(rng.random())}
        | {f"{n}_mean": float(rng.uniform(2, 4.5))
           for n in ("composition", "color", "light", "depth_of_field", "content")}
        for i, r in enumerate(rows[: n // 10])
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-0.parquet")
    pq.write_table(pa.Table.from_pylist(attributes), folder / "attributes-0.parquet")
    facts = [
        {"image_id": r["image_id"], **{f"f{k}": float(rng.normal()) for k in range(5)}}
        for r in [*rows, *attributes]
    ]
    pq.write_table(pa.Table.from_pylist(facts), folder / "facts.parquet")


@pytest.mark.timeout(1200)
def test_one_command_makes_a_checkpoint_and_its_card(tmp_path, monkeypatch):
    data, work, out = (tmp_path / name for name in ("data", "work", "out"))
    data.mkdir()
    rated_folder(data, 260)
    words = ["nano", "--data", data, "--work", work, "--out", out, "--epochs", 2,
             "--small-epochs", 1, "--steps", 2, "--measured", 20, "--critiques", 6]  # fmt: skip
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    monkeypatch.setattr(recipe, "CORPUS", 500)
    monkeypatch.setattr(calibration, "FEWEST", 2)
    recipe.main()
    card = (out / "README.md").read_text()
    assert "SRCC" in card
    assert json.loads((work / "figures.json").read_text())["n"] > 0
    assessment = Assessor.from_pretrained(out).assess(photo := skimage_photo(), rationale=True)
    assert 0 <= assessment.score <= 100
    assert assessment.critique
    again = Assessor.from_pretrained(out).assess(photo, rationale=True)
    assert again == assessment

    new = tmp_path / "new"
    words = ["revoice", "--data", data, "--checkpoint", out, "--work", work, "--out", new,
             "--steps", 3, "--measured", 20, "--critiques", 6]  # fmt: skip
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    # the card was written once above, by the same function
    monkeypatch.setattr(revoice, "measure_and_write_card", lambda *_: None)
    revoice.main()
    assert "critique" in (work / "voice.jsonl").read_text()
    changed = Assessor.from_pretrained(new).assess(photo, rationale=True)
    assert changed.model != assessment.model
    assert changed.score == pytest.approx(assessment.score, abs=10)


def test_what_moves_an_answer_is_seen():
    before = torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.0]])
    assert revoice.held(before, before, rates=True) == 0
    moved = before.flip(1)
    assert revoice.held(moved, before, rates=True) > revoice.held(moved, before, rates=False) > 0


def test_a_blend_lies_between_two_pictures():
    seen = torch.arange(4.0)[:, None, None].expand(4, 2, 3)
    rows = np.array([[0] * 50, [3] * 50])
    mixed = revoice.blended(seen, rows, np.random.default_rng(0), whole=0.3)
    assert mixed.shape == (50, 2, 3)
    assert 0 <= mixed.min() < 0.01
    assert 1 < mixed.max() <= 3
    assert (revoice.blended(seen, rows, np.random.default_rng(0), whole=1.0) == 0).all()


def skimage_photo():
    return Image.fromarray(skimage.data.coffee())
