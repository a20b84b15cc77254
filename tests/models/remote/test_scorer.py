"""A server as the model: the same scores, what its top tokens allow, and its end in the middle."""

import math
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests import openai_server
from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.cli import app
from vlm_aes.errors import CheckpointError
from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.remote import ServerSettings, client
from vlm_aes.models.remote.logprobs import label_probabilities
from vlm_aes.models.vlm.scorer import load_vlm_scorer
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.ratings import scale as ratings

WORDS = (" bad", " poor", " fair", " good", " excellent")
COLUMNS = Columns(added=("score_slack",))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing may reach out but to this machine itself."""
    connect = socket.socket.connect

    def inside(self, address):
        assert address[0] == "127.0.0.1", f"network attempt: {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", inside)
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """One whose rating words are among its most probable next tokens, each image its own."""
    folder = tiny.stretched(tmp_path_factory.mktemp("tiny") / "fast_vlm")
    scorer = load_vlm_scorer(folder, LoadOptions("fp32", "cpu"))
    backbone, images = scorer.backbone, tiny.images(8)
    texts = [scorer.prompt_text()] * len(images)
    hidden = backbone.last_hidden(backbone.encode(images, texts))
    with torch.no_grad():
        weight = backbone.model.get_output_embeddings().weight
        centre = hidden.mean(0) / hidden.mean(0).square().sum()
        others = backbone.full_logits(backbone.encode(images, texts)).max()
        weight[scorer.word_ids] += (others + 1) * centre
    tiny.save_untied(backbone.model, folder)
    return folder


@pytest.fixture(scope="module")
def served(checkpoint):
    own = openai_server.Served(checkpoint)
    with openai_server.server(own) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        own.url = f"http://127.0.0.1:{running.server_address[1]}/v1"
        yield own
        running.shutdown()


def test_the_same_scores_as_the_direct_path(served, checkpoint):
    images = tiny.images(6)
    direct = Assessor.from_pretrained(checkpoint, device="cpu")
    assessor = Assessor.from_pretrained(f"openai:{served.url}#tiny")
    wanted = direct.assess(images, facts=False, attributes=True)
    found = assessor.assess(images, facts=False, attributes=True)
    assert np.ptp([a.score for a in wanted]) > 5
    for one, other in zip(wanted, found, strict=True):
        assert other.columns["score_slack"] == 0
        assert other.score == pytest.approx(one.score, abs=0.01)
        np.testing.assert_allclose(list(other.probabilities.values()), list(one.probabilities.values()), atol=1e-4)
        assert set(other.attributes) == set(one.attributes)
    assert found[0].model.startswith("openai:tiny@")
    assert Assessor.from_pretrained(f"openai:{served.url}").model_id == found[0].model
    body = served.requests[-1]
    assert (body["max_tokens"], body["temperature"], body["top_logprobs"]) == (1, 0, 20)
    assert body["messages"][-1]["role"] == "assistant"


def test_what_fewer_tokens_allow_is_label_probabilities(served, checkpoint, tmp_path):
    images = tiny.images(6)
    wanted = Assessor.from_pretrained(checkpoint, device="cpu").assess(images, facts=False)
    file = tmp_path / "mine.toml"
    file.write_text(f'kind = "server"\nurl = "{served.url}"\ntop = 3\n')
    found = Assessor.from_pretrained(file).assess(images, facts=False)
    assert any(a.columns["score_slack"] > 0 for a in found)
    for one, other in zip(wanted, found, strict=True):
        assert abs(one.score - other.score) <= other.columns["score_slack"] + 0.01


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(-8, 8), min_size=9, max_size=9), st.integers(1, 9))
def test_the_truth_lies_within_the_slack(logits, kept):
    """Whatever the distribution, and however few tokens are told."""
    logs = np.array(logits) - np.logaddexp.reduce(logits)
    tokens = [*WORDS, "x", "y", "z", "!"]
    full = dict(zip(tokens, map(float, logs)))
    top = dict(sorted(full.items(), key=lambda item: -item[1])[:kept])
    found = label_probabilities(top, WORDS)
    if found is None:
        assert not set(WORDS) & set(top)
        return
    truth = np.exp([full[word] for word in WORDS])
    wanted = float(ratings.score(truth / truth.sum()))
    assert abs(float(ratings.score(found.probabilities)) - wanted) <= found.slack + 1e-6


def test_how_tokens_are_spelled():
    log = math.log
    spelled = {"good": log(0.1), "Ġgood": log(0.3), "▁bad": log(0.2), "goods": log(0.3)}
    found = label_probabilities(spelled, WORDS)
    np.testing.assert_allclose(found.probabilities, [0.4, 0, 0, 0.6, 0])
    exact = label_probabilities({" good": log(0.1), "good": log(0.5), " bad": log(0.1)}, WORDS)
    np.testing.assert_allclose(exact.probabilities, [0.5, 0, 0, 0.5, 0])
    assert label_probabilities({"The": log(0.9)}, WORDS) is None


def test_passing_refusals_are_tried_again_others_are_not(served):
    image = tiny.images(1)[0]
    assessor = Assessor.from_pretrained(f"openai:{served.url}#tiny")
    busy = (503, {"error": {"message": "busy"}})
    served.refusals[:] = [busy, (429, {}, ("Retry-After", "0"))]
    assert assessor.assess(image, facts=False).score is not None
    before = len(served.requests)
    served.refusals[:] = [(400, {"error": {"message": "image too large"}})]
    a = assessor.assess(image, facts=False)
    assert a.score is None
    assert a.error.startswith("model: ")
    assert "400 image too large" in a.error
    assert len(served.requests) == before + 1
    served.refusals[:] = [busy] * 4
    assert "503 busy" in assessor.assess(image, facts=False).error
    assert not served.refusals
    assert assessor.assess(image, facts=False).score is not None


def test_servers_that_cannot_be_used(served, monkeypatch):
    with pytest.raises(CheckpointError, match="no model 'other'; it has tiny"):
        Assessor.from_pretrained(f"openai:{served.url}#other")
    with pytest.raises(CheckpointError, match="openai:http://HOST:PORT/v1#NAME"):
        Assessor.from_pretrained("openai:localhost")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CheckpointError, match="no answer.*start it"):
        Assessor.from_pretrained(f"openai:http://127.0.0.1:{port}#tiny")
    with pytest.raises(CheckpointError, match="404"):
        Assessor.from_pretrained(f"openai:{served.url}/more#tiny")
    monkeypatch.setattr(served, "complete", lambda body: {"choices": [{"message": {}}]})
    with pytest.raises(CheckpointError, match="without top_logprobs"):
        Assessor.from_pretrained(f"openai:{served.url}#tiny")
    assert ServerSettings.parse("openai:http://x:1#a") == ServerSettings("http://x:1/v1", "a")


def test_a_server_killed_in_the_middle(checkpoint, tmp_path):
    """Error rows at once, and ``--resume`` with a new server completes them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(tiny.images(24)):
        image.save(folder / f"{i:02d}.png")
    script = Path(openai_server.__file__)
    ours: list[subprocess.Popen] = []

    def start(*answers):
        process = subprocess.Popen(
            [sys.executable, str(script), str(checkpoint), "0", *answers], stdout=subprocess.PIPE, text=True
        )
        ours.append(process)
        return f"openai:http://127.0.0.1:{process.stdout.readline().strip()}/v1#tiny"

    def score(model, *more):
        words = ["score", folder, "--model", model, "--out", tmp_path / "rows.csv", "--batch-size", 4, *more]
        return CliRunner().invoke(app, list(map(str, words)))

    try:
        first = score(start("10"))
        assert first.exit_code == 1, first.stderr
        rows = list(read_rows(tmp_path / "rows.csv", COLUMNS.schema))
        failed = [row for row in rows if row["error"]]
        assert 12 <= len(failed) < 24
        assert all(row["error"].startswith("model: the server at") for row in failed)
        assert all(row["score"] is None for row in failed)
        second = score(start(), "--resume")
        assert second.exit_code == 0, second.stderr
        again = list(read_rows(tmp_path / "rows.csv", COLUMNS.schema))
        kept = {row["path"]: row["score"] for row in rows if not row["error"]}
        assert len(again) == 24
        assert not any(row["error"] for row in again)
        assert all(row["score"] == kept.get(row["path"], row["score"]) for row in again)
    finally:
        for process in ours:
            process.kill()
            process.wait()
