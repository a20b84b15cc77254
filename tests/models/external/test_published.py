"""Published heads: their layouts, their arithmetic, and their refusals."""

from itertools import permutations

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


def filled(shapes):
    weights = {f"{name}.weight": torch.randn(shape) / shape[1] ** 0.5 for name, shape in shapes.items()}
    return weights | {f"{name}.bias": torch.randn(shape[0]) * 0.1 for name, shape in shapes.items()}


def stacked(prefix, width):
    """Weights as LAION v2 and aesthetic-predictor-v2.5 publish them."""
    sizes = (width, 1024, 128, 64, 16, 1)
    state = filled({f"{prefix}.{n}": shape for n, shape in zip(DROPOUTS[prefix], zip(sizes[1:], sizes))})
    state[f"{prefix}.{DROPOUTS[prefix][-1]}.bias"] += 5
    return state


def residual(width, outputs=1):
    """Weights as CityAesthetics and its classifiers publish them."""
    inner = {f"up.1.long.{n}": (1024, 1024) for n in (0, 2, 4)}
    down = {"down.0": (128, 1024), "down.1": (64, 128), "down.4": (32, 64), "down.5": (outputs, 32)}
    return filled({"up.0": (1024, width), **inner, **down})


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
        inner = leaky(line("up.1.long.2", leaky(line("up.1.long.0", x), 0.1)), 0.1)
        x = np.maximum(0, line("up.1.long.4", inner) + x)
        x = leaky(line("down.1", line("down.0", x)), 0.01)
        x = line("down.5", line("down.4", x))
        shares = np.exp(x)
        return (np.tanh(x) + 1) / 2 if x.shape[1] == 1 else shares / shares.sum(1, keepdims=True)
    prefix = "layers" if name == "laion-v2" else "scoring_head"
    for place in DROPOUTS[prefix]:
        x = line(f"{prefix}.{place}", x)
    return x


def clip_tower(folder, width):
    torch.manual_seed(1)
    text = {k: v for k, v in SMALL.items() if k not in ("image_size", "patch_size")} | {"vocab_size": 64}
    vision = SMALL | {"projection_dim": width}
    t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)).save_pretrained(folder)
    tiny.clip_processor(32).save_pretrained(folder)


HEADS = {
    "laion-v1": lambda: {"weight": torch.randn(1, 768), "bias": torch.tensor([5.5])},
    "laion-v2": lambda: stacked("layers", 768),
    "aesthetic-v2.5": lambda: stacked("scoring_head", 1152),
    "city": lambda: residual(768),
}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Name to the file of a head with its tower beside it, and its weights."""
    made = {}
    for name, make in HEADS.items():
        torch.manual_seed(2)
        folder, state = tmp_path_factory.mktemp(name), make()
        file = folder / ("head.safetensors" if name == "city" else "head.pth")
        (save_file if name == "city" else torch.save)(state, file)
        if name == "aesthetic-v2.5":
            config = t.SiglipVisionConfig(**SMALL | {"hidden_size": 1152})
            t.SiglipVisionModel(config).save_pretrained(folder / "tower")
            tiny.siglip_processor(32).save_pretrained(folder / "tower")
        else:
            clip_tower(folder / "tower", 768)
        made[name] = (file, state)
    return made


def embeddings(name, folder, images):
    """From the tower, by transformers alone."""
    pixels = t.AutoImageProcessor.from_pretrained(folder, backend="pil")(images=images, return_tensors="pt")
    with torch.no_grad():
        if name == "aesthetic-v2.5":
            return t.SiglipVisionModel.from_pretrained(folder)(**pixels).pooler_output
        return t.CLIPVisionModelWithProjection.from_pretrained(folder)(**pixels).image_embeds


@pytest.mark.parametrize("name", HEADS)
def test_a_head_says_what_is_computed_by_hand(name, heads):
    file, state = heads[name]
    images = [image.resize((48, 40)) for image in tiny.images(5)]
    wanted = by_hand(name, state, embeddings(name, file.parent / "tower", images))[:, 0]
    assert np.ptp(wanted) > 0
    low, high = (0, 1) if name == "city" else (1, 10)
    mapped = np.clip((wanted - low) / (high - low), 0, 1) * 100
    for named in (f"{name}:{file}", str(file)):
        assessor = Assessor.from_pretrained(named, device="cpu")
        found = assessor.assess(images, facts=False)
        np.testing.assert_allclose([a.columns["score_own"] for a in found], wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose([a.score for a in found], mapped, atol=1e-2)
        for a in found:
            assert a.score == pytest.approx(np.dot([*a.probabilities.values()], (0, 25, 50, 75, 100)))
            assert a.model.startswith(f"{name}@") and a.prompt.startswith("published-1@")
    alone = assessor.assess(images[3], facts=False)
    assert alone.score == pytest.approx(found[3].score, abs=0.01)


def rater(folder, head, weights, tower, more=""):
    file = folder / "mine.toml"
    file.write_text(f'kind = "published"\nhead = "{head}"\nweights = "{weights}"\ntower = "{tower}"\n{more}\n')
    return Assessor.from_pretrained(file)


def test_a_classifier_gives_the_mean_worth_of_its_classes(tmp_path):
    torch.manual_seed(3)
    state = residual(24, outputs=3)
    save_file(state, tmp_path / "classes.safetensors")
    clip_tower(tmp_path / "tower", 24)
    images = [image.resize((48, 40)) for image in tiny.images(4)]
    shares = by_hand("city", state, embeddings("city", tmp_path / "tower", images))
    assessor = rater(tmp_path, "city", "classes.safetensors", "tower", "worth = [0, 1, 0.4]")
    found = assessor.assess(images, facts=False)
    np.testing.assert_allclose([a.score for a in found], 100 * shares @ [0, 1, 0.4], atol=1e-2)
    with pytest.raises(CheckpointError, match="classifier of 3 classes.*worth"):
        Assessor.from_pretrained(tmp_path / "classes.safetensors")


LAYOUTS = {"laion-v1": "weight (1, ", "laion-v2": "layers.0.weight (1024, 768)",
           "aesthetic-v2.5": "scoring_head.0.weight (1024, 1152)", "city": "up.0.weight (1024, "}  # fmt: skip


@pytest.mark.parametrize(("named", "there"), permutations(HEADS, 2))
def test_another_layout_is_refused_and_both_are_named(named, there, heads):
    file, state = heads[there]
    with pytest.raises(CheckpointError) as refused:
        Assessor.from_pretrained(f"{named}:{file}")
    wanted, _, held = str(refused.value).partition("this holds")
    assert f"{named} is laid out as" in wanted and LAYOUTS[named] in wanted
    assert f"which is the layout of {there}" in held
    assert any(f"{key} {tuple(value.shape)}" in held for key, value in state.items())


def test_files_that_are_no_head(tmp_path, heads):
    file, state = heads["laion-v2"]
    (tmp_path / "text.pth").write_text("nothing")
    torch.save({"something": torch.zeros(2, 3)}, tmp_path / "other.pth")
    torch.save(torch.nn.Linear(2, 1), tmp_path / "code.pth")
    torch.save({k: v for k, v in state.items() if not k.startswith("layers.7")}, tmp_path / "shorter.pth")
    for kind, name, reason in (
        ("", "other.pth", r"something \(2, 3\), which is laid out as none of"),
        ("", "text.pth", r"text\.pth"),
        ("", "gone.safetensors", "cannot be read"),
        ("", "code.pth", "more than tensors, and is not run"),
        ("laion-v2:", "shorter.pth", r"layers\.7\.weight \(1, 16\).*holds nothing"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            Assessor.from_pretrained(f"{kind}{tmp_path / name}")
    clip_tower(tmp_path / "narrow", 32)
    with pytest.raises(CheckpointError, match="768 numbers, and .*narrow gives 32"):
        rater(tmp_path, "laion-v2", file, "narrow")


def test_a_name_alone_tells_where_its_file_is_sought(tmp_path, heads, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"sac\+logos.*--model laion-v2:FILE"):
        Assessor.from_pretrained("laion-v2")
    kept = tmp_path / "vlm-aes" / "heads"
    kept.mkdir(parents=True)
    (kept / "laion-v2.pth").symlink_to(heads["laion-v2"][0])
    (kept / "tower").symlink_to(heads["laion-v2"][0].parent / "tower")
    assert Assessor.from_pretrained("laion-v2").model_id.startswith("laion-v2@")


def test_as_a_rater_of_score(tmp_path, heads):
    tiny.images(1)[0].save(tmp_path / "a.png")

    def score(*words):
        model = f"laion-v2:{heads['laion-v2'][0]}"
        done = CliRunner().invoke(app, ["score", str(tmp_path / "a.png"), "--model", model, *words])
        return done.exit_code, done.stderr

    code, said = score("--out", str(tmp_path / "rows.csv"), "--scale", "1-10")
    assert code == 0, said
    (row,) = read_rows(tmp_path / "rows.csv", Columns(added=("score_own",)).schema)
    assert row["score_own"] is not None and row["p_bad"] is not None and row["level"]
    assert score("--attributes")[0] == 2
    assert "writes no critiques" in score("--rationale")[1]
