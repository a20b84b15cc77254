"""Pushing to the hub and fetching from it, and no request unasked. The hub is a small server."""

import json
import shutil
import socket
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
    for name, text in {
        "adapter_config.json": '{"base_model_name_or_path": "nano"}', "adapter_model.safetensors": "weights",
        "nano/config.json": "{}", "README.md": "# my-taste\n\nRates images as I do.\n",
        "checkpoint-10/optimizer.pt": "x", ".DS_Store": "x", "nano/.lock": "x",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_an_upload_holds_the_files_and_a_completed_card(trained):
    parcel = prepare_upload(trained, "apache-2.0")
    assert parcel.kind == "model"
    assert list(parcel.files) == ["adapter_config.json", "adapter_model.safetensors", "nano/config.json"]
    about = ModelCard(parcel.card).data
    assert (about.license, about.library_name) == ("apache-2.0", "vlm-aes")
    assert parcel.card.endswith("# my-taste\n\nRates images as I do.\n")
    assert (trained / "README.md").read_text().startswith("# my-taste")
    # entries of a card stay
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
    def refused(reason, folder=trained, license="mit"):
        with pytest.raises(HubError, match=reason):
            prepare_upload(folder, license)

    card, base = trained / "README.md", trained / "adapter_config.json"
    refused("the card names no license: give one with --license", license=None)
    card.write_text("---\n: [\n---\n")
    refused("metadata cannot be read")
    card.unlink()
    refused(r"holds no README\.md")
    card.write_text("# a\n")
    base.write_text('{"base_model_name_or_path": "/home/me/base"}')
    refused("its base is the folder /home/me/base")
    refused("no checkpoint, adapter or fast head", tmp_path)
    base.write_text('{"base_model_name_or_path": "owner/base"}')  # on the hub, no folder of this machine
    assert prepare_upload(trained, "mit").kind == "model"


def test_a_dry_run_asks_nobody(trained):
    words = ["push", str(trained), "me/my-taste", "--dry-run"]
    done, wrong = (CliRunner().invoke(app, [*words, *more]) for more in (["--license", "mit"], []))
    assert done.exit_code == 0 and "would go to model me/my-taste, license mit" in done.stderr, done.stderr
    assert "7  adapter_model.safetensors" in done.stdout and "README.md" in done.stdout
    assert wrong.exit_code == 2 and "names no license" in wrong.stderr


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a push needs; keeps what it was asked and given."""

    asked, given, refuses = [], {}, False

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(self.path)
        answer = {"errors": [], "warnings": [], "sha": COMMIT, "id": "me/my-taste"}
        if self.path.endswith("/api/repos/create"):
            answer |= {"url": "http://127.0.0.1/me/my-taste"}
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            answer = {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.given[line["value"]["path"]] = b64decode(line["value"]["content"])
            url = f"http://127.0.0.1/me/my-taste/commit/{COMMIT}"
            answer = {"commitUrl": url, "commitOid": COMMIT, "pullRequestUrl": None}
        text = json.dumps({"error": "no access"} if self.refuses else answer).encode()
        self.send_response(403 if self.refuses else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST

    def log_message(self, *args):
        pass


def test_a_push_is_one_commit(trained, tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in (("ENDPOINT", f"http://127.0.0.1:{server.server_port}"), ("HOME", str(tmp_path / "hf")),
                        ("TOKEN", "hf_none"), ("HUB_DISABLE_XET", "1"), ("HUB_OFFLINE", "0")):  # fmt: skip
        monkeypatch.setenv(f"HF_{name}", value)

    def push():
        # in a process of its own: in this one nothing may connect, and the address is read at import
        command = [sys.executable, "-m", "vlm_aes.cli", "push", trained, "me/my-taste", "--license", "mit"]
        return subprocess.run([*command, "--revision", "trial"], capture_output=True, text=True)

    done = push()
    assert done.returncode == 0, done.stderr
    parcel = prepare_upload(trained, "mit")
    files = {name: file.read_bytes() for name, file in parcel.files.items()}
    assert Hub.given == {"README.md": parcel.card.encode(), **files}
    assert f"pushed: --model me/my-taste@{COMMIT}" in done.stderr
    (commit,) = (path for path in Hub.asked if "/commit/" in path)
    assert commit.endswith("/commit/trial")
    monkeypatch.setattr(Hub, "refuses", True)
    refused = push()
    assert refused.returncode == 2 and "hf auth login" in refused.stderr
    server.shutdown()
    server.server_close()


def test_a_checkpoint_of_ours_loads_by_revision_from_the_cache(tiny_checkpoint, tmp_path, monkeypatch):
    place = tmp_path / "models--me--taste"
    snapshots = place / "snapshots"
    (place / "refs").mkdir(parents=True)
    for commit, ref in ((COMMIT, "main"), (OLDER, "v1")):
        shutil.copytree(tiny_checkpoint("fast_vlm"), snapshots / commit)
        shutil.copyfile(PROMPTS_FOLDER / "default.toml", snapshots / commit / "vlm_aes.toml")
        (place / "refs" / ref).write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert fetch("me/taste") == (snapshots / COMMIT, None)
    assert fetch("me/taste@v1") == fetch("me/taste", "v1") == fetch(f"me/taste@{OLDER}") == (snapshots / OLDER, None)
    assessor = Assessor.from_pretrained("me/taste@v1")
    assert assessor.model_id == f"me/taste@{OLDER}"
    assert assessor.assess(tiny.images(1)[0]).error == ""
    (snapshots / OLDER / "vlm_aes.toml").unlink()  # as checkpoints of others, left to transformers
    assert fetch("me/taste@v1") == ("me/taste", "v1")
    assert fetch("nobody/nothing@x") == ("nobody/nothing", "x")
    with pytest.raises(CheckpointError, match="nobody/nothing"):
        Assessor.from_pretrained("nobody/nothing@x")


@pytest.mark.parametrize(
    ("kind", "cached"), [("silent", False), ("silent", True), ("refusing", False), ("gone", False), ("gone", True)]
)
def test_an_unreachable_hub_is_told_within_ten_seconds(tiny_checkpoint, tmp_path, monkeypatch, kind, cached):
    place = tmp_path / "hub" / "models--me--taste"
    if cached:
        shutil.copytree(tiny_checkpoint("fast_vlm"), place / "snapshots" / COMMIT)
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(COMMIT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        if kind == "gone":
            server.close()
        if kind == "refusing":
            threading.Thread(target=lambda: [server.accept()[0].close() for _ in range(9)], daemon=True).start()
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        program = (
            "import time, vlm_aes.critique.generate, vlm_aes.models.registry; from vlm_aes import Assessor\n"
            "began = time.monotonic()\n"
            "try: print(Assessor.from_pretrained('me/taste').model_id)\n"
            "except Exception as error: print(type(error).__name__, error, time.monotonic() - began < 10)"
        )
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    if cached:
        assert said == f"me/taste@{COMMIT}\n"
    else:
        assert said.startswith("CheckpointError me/taste: the hub cannot be reached (")
        assert said.endswith("it is not in the cache; see to the network, or name a folder True\n")


def test_hub_ids_are_told_from_other_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert parse_hub_id("owner/other@main") == ("owner/other", "main")
    assert parse_hub_id("owner/other", "v2") == ("owner/other", "v2")
    for other in ("owner/name", "nano", "./a/b", "~/a", "a/b/c", "openai:http://x/v1#m", "a/b@"):
        assert parse_hub_id(other) is None
    assert locate("owner/other@v1").revision == "v1"
    assert cached_identity(tmp_path) is None
    assert cached_identity(tmp_path / "models--o--n" / "snapshots" / "abc" / "fast") == "o/n@abc/fast"
