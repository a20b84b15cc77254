"""Published heads: their layouts, their arithmetic, and their refusals."""

import numpy as np
import pytest
import torch
import transformers as t
from safetensors.torch import save_file
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.cli import app
from vlm_aes.errors import CheckpointError
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 2, "image_size": 32, "patch_size": 16}  # fmt: skip
DROPOUTS = {"layers": (0, 2, 4, 6, 7), "scoring_head": (0, 2, 4, 6, 8)}


def stacked(prefix, width):
    """Weights as LAION v2 and aesthetic-predictor-v2.5 publish them."""
    sizes = (width, 1024, 128, 64, 16, 1)
    state = {}
    for place, inputs, outputs in zip(DROPOUTS[prefix], sizes, sizes[1:]):
        state[f"{prefix}.{place}.weight"] = torch.randn(outputs, inputs) / inputs**0.5
        state[f"{prefix}.{place}.bias"] = torch.randn(outputs) * 0.1 + (5 if outputs == 1 else 0)
    return state


def residual(width, outputs=1):
    """Weights as CityAesthetics and its classifiers publish them."""
    shapes = {"up.0": (1024, width), "up.1.long.0": (1024, 1024), "up.1.long.2": (1024, 1024),
              "up.1.long.4": (1024, 1024), "down.0": (128, 1024), "down.1": (64, 128),
              "down.4": (32, 64), "down.5": (outputs, 32)}  # fmt: skip
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(shape) / shape[1] ** 0.5
        state[f"{name}.bias"] = torch.randn(shape[0]) * 0.1
    return state


def by_hand(name, state, embedding):
    """What each head computes, written from the description of its layout, in NumPy."""
    w = {k: v.double().numpy() for k, v in state.items()}
    x = embedding.double().numpy()
    if name != "city":
        x = x / np.sqrt((x**2).sum(-1, keepdims=True))
    if name == "laion-v1":
        return x @ w["weight"].T + w["bias"]

    def line(key, x):
        return x @ w[f"{key}.weight"].T + w[f"{key}.bias"]

    def leaky(x, slope):
        return np.where(x > 0, x, slope * x)

    if name == "city":
        x = line("up.0", x)
        inner = leaky(line("up.1.long.0", x), 0.1)
        inner = leaky(line("up.1.long.2", inner), 0.1)
        x = np.maximum(0, line("up.1.long.4", inner) + x)
        x = leaky(line("down.1", line("down.0", x)), 0.01)
        x = line("down.5", line("down.4", x))
        if x.shape[1] == 1:
            return (np.tanh(x) + 1) / 2
        shares = np.exp(x - x.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)
    prefix = "layers" if name == "laion-v2" else "scoring_head"
    for place in DROPOUTS[prefix]:
        x = line(f"{prefix}.{place}", x)
    return x


def clip_tower(folder, width):
    torch.manual_seed(1)
    text = {k: v for k, v in SMALL.items() if k not in ("image_size", "patch_size")}
    config = t.CLIPConfig(
        text_config={**text, "vocab_size": 64}, vision_config={**SMALL, "projection_dim": width}, projection_dim=width
    )
    t.CLIPModel(config).save_pretrained(folder)
    tiny.clip_processor(32).save_pretrained(folder)
    return folder


def siglip_tower(folder):
    torch.manual_seed(1)
    vision = {**SMALL, "hidden_size": 1152, "num_attention_heads": 2}
    t.SiglipVisionModel(t.SiglipVisionConfig(**vision)).save_pretrained(folder)
    tiny.siglip_processor(32).save_pretrained(folder)
    return folder


HEADS = {
    "laion-v1": lambda: {"weight": torch.randn(1, 768), "bias": torch.tensor([5.5])},
    "laion-v2": lambda: stacked("layers", 768),
    "aesthetic-v2.5": lambda: stacked("scoring_head", 1152),
    "city": lambda: residual(768),
}
ENDS = {"city": (0, 1)}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Name to the file of a head with its tower beside it, and its weights."""
    made = {}
    for name, make in HEADS.items():
        torch.manual_seed(2)
        folder = tmp_path_factory.mktemp(name)
        state = make()
        file = folder / ("head.safetensors" if name == "city" else "head.pth")
        if name == "city":
            save_file(state, file)
        else:
            torch.save(state, file)
        if name == "aesthetic-v2.5":
            siglip_tower(folder / "tower")
        else:
            clip_tower(folder / "tower", 768)
        made[name] = (file, state)
    return made


def embeddings(name, folder, images):
    """From the tower, by transformers alone."""
    processor = t.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        if name == "aesthetic-v2.5":
            return t.SiglipVisionModel.from_pretrained(folder)(pixels).pooler_output
        return t.CLIPVisionModelWithProjection.from_pretrained(folder)(pixels).image_embeds


@pytest.mark.parametrize("name", HEADS)
def test_a_head_says_what_is_computed_by_hand(name, heads):
    file, state = heads[name]
    images = [image.resize((48, 40)) for image in tiny.images(5)]
    wanted = by_hand(name, state, embeddings(name, file.parent / "tower", images))[:, 0]
    assert np.ptp(wanted) > 0
    low, high = ENDS.get(name, (1, 10))
    for named in (f"{name}:{file}", str(file)):
        assessor = Assessor.from_pretrained(named, device="cpu")
        found = assessor.assess(images, facts=False)
        own = [a.columns["score_own"] for a in found]
        np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-5)
        mapped = np.clip((wanted - low) / (high - low), 0, 1) * 100
        np.testing.assert_allclose([a.score for a in found], mapped, atol=1e-2)
        for a in found:
            words = zip(a.probabilities.values(), (0, 25, 50, 75, 100), strict=True)
            assert a.score == pytest.approx(sum(p * w for p, w in words))
            assert a.model.startswith(f"{name}@")
            assert a.prompt.startswith("published-1@")
    alone = assessor.assess(images[3], facts=False)
    assert alone.score == pytest.approx(found[3].score, abs=0.01)


def test_a_classifier_gives_the_mean_worth_of_its_classes(tmp_path):
    torch.manual_seed(3)
    state = residual(24, outputs=3)
    save_file(state, tmp_path / "classes.safetensors")
    clip_tower(tmp_path / "tower", 24)
    (tmp_path / "mine.toml").write_text(
        'kind = "published"\nhead = "city"\nweights = "classes.safetensors"\ntower = "tower"\nworth = [0, 1, 0.4]\n'
    )
    images = [image.resize((48, 40)) for image in tiny.images(4)]
    shares = by_hand("city", state, embeddings("city", tmp_path / "tower", images))
    found = Assessor.from_pretrained(tmp_path / "mine.toml").assess(images, facts=False)
    np.testing.assert_allclose([a.score for a in found], 100 * shares @ [0, 1, 0.4], atol=1e-2)
    with pytest.raises(CheckpointError, match="classifier of 3 classes.*worth"):
        Assessor.from_pretrained(tmp_path / "classes.safetensors")


@pytest.mark.parametrize("named", HEADS)
@pytest.mark.parametrize("there", HEADS)
def test_another_layout_is_refused_and_both_are_named(named, there, heads):
    file, _ = heads[there]
    if named == there:
        return
    with pytest.raises(CheckpointError) as refused:
        Assessor.from_pretrained(f"{named}:{file}")
    message = str(refused.value)
    assert f"{named} is laid out as" in message
    assert f"which is the layout of {there}" in message
    first = {"laion-v1": "weight (1, ", "laion-v2": "layers.0.weight (1024, 768)",
             "aesthetic-v2.5": "scoring_head.0.weight (1024, 1152)",
             "city": "up.0.weight (1024, "}  # fmt: skip
    assert first[named] in message
    shapes = (f"{key} {tuple(value.shape)}" for key, value in heads[there][1].items())
    assert any(shape in message.partition("this holds")[2] for shape in shapes)


def test_files_that_are_no_head(tmp_path, heads):
    torch.save({"something": torch.zeros(2, 3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"something \(2, 3\), which is laid out as none of"):
        Assessor.from_pretrained(tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("nothing")
    with pytest.raises(CheckpointError, match=r"text\.pth"):
        Assessor.from_pretrained(tmp_path / "text.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Assessor.from_pretrained(tmp_path / "gone.safetensors")
    torch.save(torch.nn.Linear(2, 1), tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match="more than tensors, and is not run"):
        Assessor.from_pretrained(tmp_path / "code.pth")
    shorter = {k: v for k, v in heads["laion-v2"][1].items() if not k.startswith("layers.7")}
    torch.save(shorter, tmp_path / "shorter.pth")
    with pytest.raises(CheckpointError, match=r"layers\.7\.weight \(1, 16\).*holds nothing"):
        Assessor.from_pretrained(f"laion-v2:{tmp_path / 'shorter.pth'}")


def test_a_tower_of_another_width_is_refused(tmp_path, heads):
    file, _ = heads["laion-v2"]
    clip_tower(tmp_path / "narrow", 32)
    (tmp_path / "mine.toml").write_text(
        f'kind = "published"\nhead = "laion-v2"\nweights = "{file}"\ntower = "narrow"\n'
    )
    with pytest.raises(CheckpointError, match="768 numbers, and .*narrow gives 32"):
        Assessor.from_pretrained(tmp_path / "mine.toml")


def test_a_name_alone_tells_where_its_file_is_sought(tmp_path, heads, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"sac\+logos.*--model laion-v2:FILE"):
        Assessor.from_pretrained("laion-v2")
    kept = tmp_path / "vlm-aes" / "heads"
    kept.mkdir(parents=True)
    (kept / "laion-v2.pth").symlink_to(heads["laion-v2"][0])
    (kept / "tower").symlink_to(heads["laion-v2"][0].parent / "tower")
    assert Assessor.from_pretrained("laion-v2").model_id.startswith("laion-v2@")


def test_as_a_rater_of_score_and_evaluate(tmp_path, heads):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(tiny.images(24)):
        image.save(folder / f"{i:02d}.png")
    (folder / "bad.jpg").write_text("no image")
    model = f"laion-v2:{heads['laion-v2'][0]}"

    def run(*words):
        return CliRunner().invoke(app, list(map(str, words)))

    out = tmp_path / "rows.csv"
    done = run("score", folder, "--model", model, "--out", out, "--scale", "1-10")
    assert done.exit_code == 1, done.stderr
    rows = list(read_rows(out, Columns(added=("score_own",)).schema))
    assert len(rows) == 25
    good = [row for row in rows if not row["error"]]
    assert all(row["p_bad"] is not None and row["level"] for row in good)
    again = run("score", folder, "--model", model, "--out", out, "--scale", "1-10", "--resume")
    assert "24 kept" in again.stderr or "resumed" in again.stderr or again.exit_code == 1
    assert run("score", folder, "--model", model, "--attributes").exit_code == 2
    assert "writes no critiques" in run("score", folder, "--model", model, "--rationale").stderr
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("path,rating\n" + "".join(f"{i:02d}.png,{1 + i % 5}\n" for i in range(24)))
    measured = run("evaluate", ratings, "--images", folder, "--model", model, "--no-facts")
    assert measured.exit_code == 0, measured.stderr
    assert "SRCC" in measured.stdout
