"""Checkpoints: what is here, what is whole, and a real download from a small hub on loopback."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from videochat import UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint

pytest.importorskip("transformers", reason="the extra models is not installed")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as transformers saves it."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("saved") / "bert"
    config = BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=20
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    target = tmp_path / "bert"
    target.mkdir()
    for file in saved.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_folder_is_its_content(folder: Path) -> None:
    first = Checkpoint(str(folder)).weights()
    assert first.here
    assert first.bytes == sum(file.stat().st_size for file in folder.iterdir())
    assert first.id.startswith("bert@")
    (folder / "notes.md").write_text("not part of the model")
    assert Checkpoint(str(folder)).weights().id == first.id
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert Checkpoint(str(folder)).weights().id != first.id


def test_a_whole_folder_is_right_and_fetched_from_nowhere(folder: Path) -> None:
    checkpoint = Checkpoint(str(folder))
    checkpoint.check()
    assert checkpoint.fetch() == folder
    assert checkpoint.config()["model_type"] == "bert"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UnavailableError, match=f"has no {name}"):
        Checkpoint(str(folder)).check()


def test_either_of_two_files_will_do(folder: Path) -> None:
    checkpoint = Checkpoint(str(folder), needs=("tokenizer.json|vocab.txt",))
    with pytest.raises(UnavailableError, match=r"has no tokenizer.json or vocab.txt"):
        checkpoint.check()
    (folder / "vocab.txt").write_text("[PAD]\n")
    checkpoint.check()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_cut_short_is_named(folder: Path, share: float) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(weights.stat().st_size * share)])
    with pytest.raises(UnavailableError, match=r"model\.safetensors is damaged or cut short"):
        Checkpoint(str(folder)).check()


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(UnavailableError, match=r"has no model-00002-of-00002\.safetensors"):
        Checkpoint(str(folder)).check()
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UnavailableError, match="is no list of weight files"):
        Checkpoint(str(folder)).check()


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a b/c", "just-a-word"])
def test_a_folder_that_is_not_there(name: str) -> None:
    checkpoint = Checkpoint(name)
    assert not checkpoint.weights().here
    with pytest.raises(UnavailableError, match="it must be a folder, or a hub's org/name"):
        checkpoint.check()


def test_a_file_where_a_folder_should_be(folder: Path) -> None:
    with pytest.raises(UnavailableError, match="must be a folder as transformers saves it"):
        Checkpoint(str(folder / "config.json")).check()
    with pytest.raises(UnavailableError, match=r"must be the file net\.pth itself"):
        Checkpoint(str(folder), file="net.pth").check()


def test_what_a_hub_holds_is_not_here_without_a_download() -> None:
    checkpoint = Checkpoint("somebody/model", size=3 * 2**20)
    assert (checkpoint.weights().bytes, checkpoint.weights().here) == (3 * 2**20, False)
    with pytest.raises(UnavailableError) as caught:  # tests run with HF_HUB_OFFLINE
        checkpoint.fetch()
    said = str(caught.value)
    assert "somebody/model (3 MB) is not here" in said
    assert "`hf download somebody/model`" in said
    assert "`offline` needs none" in said


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as a download needs."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.reply(body=False)

    def do_GET(self) -> None:
        self.reply(body=True)

    def reply(self, body: bool) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        self.asked.append(f"{self.command} {name}")
        if self.path.startswith("/api/models/org/tiny"):
            siblings = [{"rfilename": name} for name in self.files]
            tree = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in self.files.items()]
            told: Any = tree if "/tree/" in self.path else {"id": "org/tiny", "sha": COMMIT, "siblings": siblings}
            data, kind = json.dumps(told).encode(), "application/json"
        elif name in self.files and "/resolve/" in self.path:
            data, kind = self.files[name], "application/octet-stream"
        else:
            data, kind = b"{}", ""
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(saved: Path) -> Iterator[str]:
    Hub.files = {file.name: file.read_bytes() for file in saved.iterdir()}
    Hub.files |= {"tf_model.h5": b"for another library", "pytorch_model.bin": b"the same again", "vocab.txt": b"a\n"}
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def elsewhere(code: str, home: Path, hub: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that knows another hub: the library reads its address when it is imported."""
    told = {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    start = "from videochat_plugins.models.checkpoint import Checkpoint\nc = Checkpoint('org/tiny')\n"
    return subprocess.run(
        [sys.executable, "-c", start + code], env=os.environ | told, capture_output=True, text=True, timeout=120
    )


def test_a_download_takes_what_is_needed_and_once(hub: str, tmp_path: Path, saved: Path) -> None:
    code = "print(c.weights().here); f = c.fetch(); print(c.weights()); print(*sorted(p.name for p in f.iterdir()))"
    done = elsewhere(code, tmp_path / "home", hub)
    assert done.returncode == 0, done.stderr
    before, weights, files = done.stdout.splitlines()
    assert before == "False"
    assert f"org/tiny@{COMMIT[:12]}" in weights
    assert "here=True" in weights
    assert files.split() == ["config.json", "model.safetensors", "vocab.txt"]
    Hub.asked.clear()
    again = elsewhere("c.fetch(); print(c.config()['model_type'])", tmp_path / "home", hub)
    assert (again.stdout.strip(), Hub.asked) == ("bert", [])


def test_a_download_that_fails_says_how_to_get_it(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"  # the discard port: refused at once
    code = "from videochat import UnavailableError\ntry: c.fetch()\nexcept UnavailableError as e: print(e)"
    done = elsewhere(code, tmp_path / "home", nobody)
    assert done.returncode == 0, done.stderr
    assert "org/tiny is not here and could not be downloaded" in done.stdout
    assert "`hf download org/tiny`" in done.stdout


@pytest.mark.parametrize("name", ["models--a/base", "models/blip.", "./nope", "a..b/c", "org/name@", "-a/b"])
def test_what_is_no_hubs_name_is_a_folder(name: str) -> None:
    checkpoint = Checkpoint(name)
    assert checkpoint.is_local
    assert not checkpoint.weights().here
    with pytest.raises(UnavailableError, match="must be a folder"):
        checkpoint.check()


@pytest.mark.parametrize("name", ["org/name", "org/name@main", "org/na.me-2_b@refs/pr/1", "0-hero/x"])
def test_what_a_hubs_name_looks_like(name: str) -> None:
    assert not Checkpoint(name).is_local


def test_what_another_program_left_out_of_the_cache_is_downloaded(hub: str, tmp_path: Path) -> None:
    code = "print(sorted(p.name for p in c.fetch().iterdir()))"
    first = elsewhere(f"import os\n{code}", tmp_path / "home", hub)
    assert "vocab.txt" in first.stdout, first.stderr
    (gone,) = (tmp_path / "home").rglob("snapshots/*/vocab.txt")
    gone.unlink()
    needs = "c = Checkpoint('org/tiny', needs=('config.json', 'vocab.txt'))\n"
    again = elsewhere(f"{needs}print(c.weights().here)\n{code}", tmp_path / "home", hub)
    assert again.stdout.splitlines()[0] == "False", again.stderr
    assert "vocab.txt" in again.stdout.splitlines()[1]
