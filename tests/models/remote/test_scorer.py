"""A server as the model: the same scores, what its top tokens allow, and its end in the middle."""

import math
import socket
import subprocess
import sys
import threading

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
IMAGES = tiny.images(8)


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
    backbone = scorer.backbone
    inputs = backbone.encode(IMAGES, [scorer.prompt_text()] * len(IMAGES))
    with torch.no_grad():
        centre = backbone.last_hidden(inputs).mean(0)
        others = backbone.full_logits(inputs).max()
        weight = backbone.model.get_output_embeddings().weight
        weight[scorer.word_ids] += (others + 1) * centre / centre.square().sum()
    tiny.save_untied(backbone.model, folder)
    return folder


@pytest.fixture(scope="module")
def served(checkpoint):
    own = openai_server.Served(checkpoint)
    with openai_server.server(own) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        own.url = f"http://127.0.0.1:{running.server_address[1]}/v1"
        yield own
        running.shutdown()


def test_the_same_scores_as_the_direct_path_within_the_slack(served, checkpoint, tmp_path):
    found, wanted = (
        Assessor.from_pretrained(model, device="cpu").assess(IMAGES[:6], facts=False, attributes=True)
        for model in (f"openai:{served.url}#tiny", checkpoint)
    )
    assert np.ptp([a.score for a in wanted]) > 5
    for one, other in zip(wanted, found, strict=True):
        assert (other.columns["score_slack"], other.score) == (0, pytest.approx(one.score, abs=0.01))
        np.testing.assert_allclose(list(other.probabilities.values()), list(one.probabilities.values()), atol=1e-4)
        assert set(other.attributes) == set(one.attributes)
    assert found[0].model.startswith("openai:tiny@")
    assert Assessor.from_pretrained(f"openai:{served.url}").model_id == found[0].model
    body = served.requests[-1]
    assert (body["max_tokens"], body["temperature"], body["top_logprobs"]) == (1, 0, 20)
    assert body["messages"][-1]["role"] == "assistant"
    # with fewer tokens
    file = tmp_path / "mine.toml"
    file.write_text(f'kind = "server"\nurl = "{served.url}"\ntop = 3\n')
    found = Assessor.from_pretrained(file).assess(IMAGES[:6], facts=False)
    assert any(a.columns["score_slack"] > 0 for a in found)
    for one, other in zip(wanted, found, strict=True):
        assert abs(one.score - other.score) <= other.columns["score_slack"] + 0.01


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(-8, 8), min_size=9, max_size=9), st.integers(1, 9))
def test_the_truth_lies_within_the_slack(logits, kept):
    """Whatever the distribution, and however few tokens are told."""
    logs = np.array(logits) - np.logaddexp.reduce(logits)
    full = dict(zip([*WORDS, "x", "y", "z", "!"], map(float, logs)))
    top = dict(sorted(full.items(), key=lambda item: -item[1])[:kept])
    found = label_probabilities(top, WORDS)
    assert (found is None) == (not set(WORDS) & set(top))
    if found is not None:
        truth = np.exp([full[word] for word in WORDS])
        wanted = float(ratings.score(truth / truth.sum()))
        assert abs(float(ratings.score(found.probabilities)) - wanted) <= found.slack + 1e-6


def test_how_tokens_are_spelled():
    for shares, wanted in (
        ({"good": 0.1, "Ġgood": 0.3, "▁bad": 0.2, "goods": 0.3}, [0.4, 0, 0, 0.6, 0]),
        ({" good": 0.1, "good": 0.5, " bad": 0.1}, [0.5, 0, 0, 0.5, 0]),
    ):
        found = label_probabilities({token: math.log(share) for token, share in shares.items()}, WORDS)
        np.testing.assert_allclose(found.probabilities, wanted)


def test_passing_refusals_are_tried_again_others_are_not(served):
    assessor = Assessor.from_pretrained(f"openai:{served.url}#tiny")

    def rated(*refusals):
        served.refusals[:] = refusals
        found = assessor.assess(IMAGES[0], facts=False)
        assert not served.refusals
        return found

    busy = (503, {"error": {"message": "busy"}})
    assert rated(busy, (429, {}, ("Retry-After", "0"))).score is not None
    before = len(served.requests)
    refused = rated((400, {"error": {"message": "image too large"}}))
    assert refused.score is None and len(served.requests) == before + 1
    assert refused.error.startswith("model: ") and "400 image too large" in refused.error
    assert "503 busy" in rated(*[busy] * 4).error
    assert rated().score is not None


def test_servers_that_cannot_be_used(served, monkeypatch):
    def refused(model, reason):
        with pytest.raises(CheckpointError, match=reason):
            Assessor.from_pretrained(f"openai:{model}")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused(f"{served.url}#other", "no model 'other'; it has tiny")
    refused("localhost", "openai:http://HOST:PORT/v1#NAME")
    refused(f"http://127.0.0.1:{port}#tiny", "no answer.*start it")
    refused(f"{served.url}/more#tiny", "404")
    monkeypatch.setattr(served, "complete", lambda body: {"choices": [{"message": {}}]})
    refused(f"{served.url}#tiny", "without top_logprobs")
    assert ServerSettings.parse("openai:http://x:1#a") == ServerSettings("http://x:1/v1", "a")


def test_a_server_killed_in_the_middle(served, checkpoint, tmp_path):
    """Error rows at once, and ``--resume`` with a new server completes them."""
    photos, out = tmp_path / "photos", tmp_path / "rows.csv"
    photos.mkdir()
    for i, image in enumerate(tiny.images(24)):
        image.save(photos / f"{i:02d}.png")

    def score(url, *more):
        words = ["score", photos, "--model", f"openai:{url}#tiny", "--out", out, "--batch-size", "4", *more]
        done = CliRunner().invoke(app, list(map(str, words)))
        return done.exit_code, list(read_rows(out, Columns(added=("score_slack",)).schema))

    command = [sys.executable, openai_server.__file__, checkpoint, "0", "10"]  # it is killed after ten answers
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            code, rows = score(f"http://127.0.0.1:{server.stdout.readline().strip()}/v1")
        finally:
            server.kill()
    failed = [row for row in rows if row["error"]]
    assert code == 1 and 12 <= len(failed) < 24
    assert all(row["error"].startswith("model: the server at") and row["score"] is None for row in failed)
    code, again = score(served.url, "--resume")
    assert code == 0 and len(again) == 24 and not any(row["error"] for row in again)
    kept = {row["path"]: row["score"] for row in rows if not row["error"]}
    assert all(row["score"] == kept.get(row["path"], row["score"]) for row in again)
