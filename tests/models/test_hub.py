"""Pushing to the hub and fetching from it, and no request unasked. The hub is a small server."""

import json
import os
import shutil
import subprocess
import sys
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.cli import app
from vlm_aes.errors import CheckpointError, HubError
from vlm_aes.models.hub import cached_identity, fetch, parse_hub_id, prepare_upload
from vlm_aes.models.vlm.loading import locate
from vlm_aes.prompts import PROMPTS_FOLDER

COMMIT, OLDER = "a" * 40, "b" * 40


@pytest.fixture
def trained(tmp_path):
    """A folder as finetune leaves it, with things that stay here."""
    folder = tmp_path / "my-taste"
    (folder / "nano").mkdir(parents=True)
    (folder / "checkpoint-10").mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "nano"}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "nano" / "config.json").write_text("{}")
    (folder / "README.md").write_text("# my-taste\n\nRates images as I do.\n")
    for name in ("checkpoint-10/optimizer.pt", ".DS_Store", "nano/.lock"):
        (folder / name).write_text("x")
    return folder


def test_an_upload_holds_the_files_and_a_completed_card(trained):
    parcel = prepare_upload(trained, "apache-2.0")
    assert parcel.kind == "model"
    assert list(parcel.files) == ["adapter_config.json", "adapter_model.safetensors", "nano/config.json"]
    about = ModelCard(parcel.card).data
    assert (about.license, about.library_name) == ("apache-2.0", "vlm-aes")
    assert parcel.card.endswith("# my-taste\n\nRates images as I do.\n")
    assert (trained / "README.md").read_text().startswith("# my-taste")


def test_entries_of_a_card_stay(trained):
    (trained / "README.md").write_text("---\nlicense: mit\ntags:\n- mine\nx-own: 1\n---\n# a\n")
    about = ModelCard(prepare_upload(trained, "apache-2.0").card).data
    assert (about.license, about.tags, about.get("x-own")) == ("mit", ["mine"], 1)


def test_weights_of_others_bring_their_terms(trained):
    (trained / "nano" / "LICENSE-WEIGHTS").write_text("For research.")
    parcel = prepare_upload(trained)
    about = ModelCard(parcel.card).data
    assert (parcel.license, about.license_link) == ("other", "nano/LICENSE-WEIGHTS")
    with pytest.raises(HubError, match="terms of their own"):
        prepare_upload(trained, "mit")


def test_folders_that_cannot_be_pushed_say_what_to_do(trained, tmp_path):
    with pytest.raises(HubError, match="the card names no license: give one with --license"):
        prepare_upload(trained)
    (trained / "README.md").write_text("---\n: [\n---\n")
    with pytest.raises(HubError, match="metadata cannot be read"):
        prepare_upload(trained, "mit")
    (trained / "README.md").unlink()
    with pytest.raises(HubError, match=r"holds no README\.md"):
        prepare_upload(trained, "mit")
    (trained / "README.md").write_text("# a\n")
    (trained / "adapter_config.json").write_text('{"base_model_name_or_path": "/home/me/base"}')
    with pytest.raises(HubError, match="its base is the folder /home/me/base"):
        prepare_upload(trained, "mit")
    with pytest.raises(HubError, match="no checkpoint, adapter or fast head"):
        prepare_upload(tmp_path, "mit")


def test_a_base_on_the_hub_is_no_folder_of_this_machine(trained):
    (trained / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    assert prepare_upload(trained, "mit").kind == "model"


def test_a_dry_run_asks_nobody(trained):
    result = CliRunner().invoke(app, ["push", str(trained), "me/my-taste", "--license", "mit", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "7  adapter_model.safetensors" in result.stdout
    assert "README.md" in result.stdout
    assert "would go to model me/my-taste, license mit" in result.stderr
    for words, reason in ((["my-taste"], "OWNER/NAME"), (["me/x"], "names no license")):
        wrong = CliRunner().invoke(app, ["push", str(trained), *words, "--dry-run"])
        assert wrong.exit_code == 2
        assert reason in wrong.stderr


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a push needs; keeps what it was asked and given."""

    asked: list
    given: dict
    refuses = False

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(self.path)
        if self.refuses:
            return self._answer({"error": "no write access"}, 403)
        if self.path.endswith("/api/repos/create"):
            return self._answer({"url": "http://127.0.0.1/me/my-taste", "id": "me/my-taste"})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self._answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.given[line["value"]["path"]] = b64decode(line["value"]["content"])
            return self._answer({"commitUrl": f"http://127.0.0.1/me/my-taste/commit/{COMMIT}",
                                 "commitOid": COMMIT, "pullRequestUrl": None})  # fmt: skip
        return self._answer({"errors": [], "warnings": []})

    def do_GET(self):
        self.asked.append(self.path)
        if self.refuses:
            return self._answer({"error": "no access"}, 403)
        return self._answer({"sha": COMMIT, "id": "me/my-taste"})

    def _answer(self, data, status=200):
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    handler = type("Handler", (Hub,), {"asked": [], "given": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    handler.address = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    server.server_close()


def test_a_push_is_one_commit(trained, hub, tmp_path):
    # in a process of its own: in this one nothing may connect, and the address is read at import
    command = [sys.executable, "-m", "vlm_aes.cli", "push", str(trained), "me/my-taste",
               "--license", "mit", "--revision", "trial"]  # fmt: skip
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_none",
                   "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parcel = prepare_upload(trained, "mit")
    assert hub.given == {
        "README.md": parcel.card.encode(),
        **{name: file.read_bytes() for name, file in parcel.files.items()},
    }
    assert f"pushed: --model me/my-taste@{COMMIT}" in done.stderr
    assert sum("/commit/" in path for path in hub.asked) == 1
    assert any(path.endswith("/commit/trial") for path in hub.asked)
    hub.refuses = True
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "hf auth login" in refused.stderr


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache with two revisions of one checkpoint, and nobody to ask."""
    folder = tmp_path / "hub"
    place = folder / "models--me--taste"
    for commit, ref in ((COMMIT, "main"), (OLDER, "v1")):
        shutil.copytree(tiny.build("fast_vlm", tmp_path / commit), place / "snapshots" / commit)
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / ref).write_text(commit)
        prompt = place / "snapshots" / commit / "vlm_aes.toml"
        shutil.copyfile(PROMPTS_FOLDER / "default.toml", prompt)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return place


def test_a_checkpoint_of_ours_loads_by_revision(cache):
    snapshots = cache / "snapshots"
    assert fetch("me/taste") == (snapshots / COMMIT, None)
    assert fetch("me/taste@v1") == (snapshots / OLDER, None)
    assert fetch("me/taste", "v1") == (snapshots / OLDER, None)
    assert fetch(f"me/taste@{OLDER}") == (snapshots / OLDER, None)
    assessor = Assessor.from_pretrained("me/taste@v1")
    assert assessor.model_id == f"me/taste@{OLDER}"
    assert assessor.assess(tiny.images(1)[0]).error == ""


def test_checkpoints_of_others_are_left_to_transformers(cache):
    for commit in (COMMIT, OLDER):
        (cache / "snapshots" / commit / "vlm_aes.toml").unlink()
    assert fetch("me/taste@v1") == ("me/taste", "v1")
    assert fetch("nobody/nothing@x") == ("nobody/nothing", "x")
    with pytest.raises(CheckpointError, match="nobody/nothing"):
        Assessor.from_pretrained("nobody/nothing@x")


def test_hub_ids_are_told_from_other_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert parse_hub_id("owner/name") is None
    assert parse_hub_id("owner/other@main") == ("owner/other", "main")
    assert parse_hub_id("owner/other", "v2") == ("owner/other", "v2")
    for other in ("nano", "./a/b", "~/a", "a/b/c", "openai:http://x/v1#m", "a/b@"):
        assert parse_hub_id(other) is None
    assert locate("owner/other@v1").revision == "v1"
    assert cached_identity(tmp_path) is None
    inside = tmp_path / "models--o--n" / "snapshots" / "abc" / "fast"
    assert cached_identity(inside) == "o/n@abc/fast"
