"""Models that are downloaded: fetched through a store, verified, cached; and what errors say."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import shutil
import threading
from pathlib import Path

import pytest

from alphabeam.transforms import models, storage
from alphabeam.transforms.matting import REGISTRY, ModelError, Preprocessing, RegisteredModel
from alphabeam.transforms.matting import models as registry
from alphabeam.transforms.models import cache_folder, cached_path, fetch, load_model
from alphabeam.transforms.storage import faults
from tests.conftest import tiny_onnx

pytest.importorskip("aiohttp")
PLAIN = {"input_size": 64, "multiple": 32}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    monkeypatch.setattr(faults, "BACKOFF", dataclasses.replace(faults.BACKOFF, base=0.01))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_onnx())
    return path


@pytest.fixture
def server(tmp_path):
    """A file server on loopback, and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_url_is_fetched_once_verified_always(server, tiny, tmp_path):
    url, folder = server
    (folder / "m.onnx").write_bytes(tiny.read_bytes())
    cache = tmp_path / "cache"
    good = sha256(tiny)
    network = load_model(f"{url}/m.onnx", sha256=good, cache=cache, preprocessing=PLAIN)
    assert network.name == "m" and network.sha256 == good
    (folder / "m.onnx").unlink()
    load_model(f"{url}/m.onnx", sha256=good, cache=cache, preprocessing=PLAIN)
    (kept,) = cache.iterdir()
    kept.write_bytes(b"rotten")
    with pytest.raises(ModelError, match="is not the published file") as caught:
        load_model(f"{url}/m.onnx", sha256=good, cache=cache, preprocessing=PLAIN)
    assert str(kept) in one_line(caught)


def test_a_wrong_download_leaves_nothing_behind(server, tmp_path):
    url, folder = server
    (folder / "m.onnx").write_bytes(b"something else")
    cache = tmp_path / "cache"
    with pytest.raises(ModelError, match="gave a file of digest sha256:"):
        fetch(f"{url}/m.onnx", cache / "m.onnx", "sha256:" + "0" * 64)
    assert not list(cache.iterdir())


def test_offline_says_which_file_to_put_where(monkeypatch, tmp_path):
    model = RegisteredModel(
        "far", "http://127.0.0.1:9/far.onnx", "abc", "", 5, "MIT", True, Preprocessing(64), ""
    )
    monkeypatch.setitem(REGISTRY, "far", model)
    monkeypatch.setenv("ALPHABEAM_CACHE", str(tmp_path / "models"))
    with pytest.raises(ModelError) as caught:
        load_model("far")
    message = one_line(caught)
    for part in ("model far", model.url, "sha256:abc", str(tmp_path / "models" / "far.onnx")):
        assert part in message
    assert not [p for p in (tmp_path / "models").iterdir()]


def test_errors_hold_no_secret_of_the_url(tmp_path):
    with pytest.raises(ModelError) as caught:
        load_model("http://user:hunter2@127.0.0.1:9/m.onnx?token=hidden", cache=tmp_path)
    assert "hunter2" not in one_line(caught) and "hidden" not in one_line(caught)


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="set ALPHABEAM_CACHE to a writable folder"):
        fetch("http://127.0.0.1:9/m.onnx", tmp_path / "file" / "m.onnx")


def test_non_commercial_licence_must_be_accepted(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="not for commercial use; set accept_license"):
        load_model("bria-rmbg")
    monkeypatch.setattr(models, "fetch", lambda url, target, *args, **kwargs: target)
    with pytest.raises(
        ModelError, match="no such file"
    ):  # past the licence, and nothing was downloaded
        load_model("bria-rmbg", accept_license=True, cache=tmp_path)


def test_registry_is_complete(monkeypatch, tmp_path):
    for name, model in REGISTRY.items():
        assert model.name == name and model.licence and model.megabytes > 0
        if name != "catalogue":
            assert model.url.startswith("https://") and model.preprocessing
            assert re.fullmatch("[0-9a-f]{64}", model.sha256)
            assert re.fullmatch("([0-9a-f]{32})?", model.md5)
    digests = [model.sha256 for model in REGISTRY.values()]
    assert len(set(digests)) == len(digests)
    monkeypatch.setenv("ALPHABEAM_CACHE", str(tmp_path))
    assert cached_path("u2net") == tmp_path / "u2net.onnx" == cache_folder() / "u2net.onnx"
    assert cached_path("catalogue").is_file()
    one, two = cached_path("s3://a/m.onnx"), cached_path("s3://b/m.onnx")
    assert one != two and one.name.startswith("m-")
    signed = ("https://h/m.onnx?X-Amz-Signature=1", "https://h/m.onnx?X-Amz-Signature=2")
    assert cached_path(signed[0]) == cached_path(signed[1])


def test_a_name_a_path_and_an_embedded_model(tiny, tmp_path):
    assert load_model("catalogue").name == "catalogue"
    assert load_model(tiny, preprocessing=PLAIN).sha256 == sha256(tiny)


def test_any_store_with_its_options(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ALPHABEAM_CACHE", str(tmp_path / "cache"))
    storage.put("memory://models/m.onnx", tiny.read_bytes())
    network = load_model("memory://models/m.onnx", preprocessing=PLAIN)
    assert network.name == "m" and network.sha256 == sha256(tiny)
    asked = []

    def open_input(url, *, options=None):
        asked.append((url, options))
        return tiny.open("rb")

    monkeypatch.setattr(storage, "open_input", open_input)
    options = {"s3": {"secret": "${env:S3_SECRET}"}}
    load_model("s3://models/m.onnx", preprocessing=PLAIN, options=options)
    assert asked == [("s3://models/m.onnx", options)]


def test_a_registered_model_has_both_digests_and_its_size(server, tiny, tmp_path, monkeypatch):
    url, folder = server
    data = tiny.read_bytes()
    (folder / "m.onnx").write_bytes(data)
    good = (sha256(tiny), hashlib.md5(data).hexdigest())
    for wanted, error in (
        ((good[0], "0" * 32), "expected md5:0000"),
        (("0" * 64, good[1]), "expected sha256:0000"),
        (good, ""),
        ((good[0], ""), ""),
    ):
        model = RegisteredModel(
            "far", f"{url}/m.onnx", *wanted, 1, "MIT", True, Preprocessing(64), ""
        )
        monkeypatch.setitem(REGISTRY, "far", model)
        cache = tmp_path / f"cache-{wanted}"[:60]
        if error:
            with pytest.raises(ModelError, match=error):
                load_model("far", cache=cache)
            assert not list(cache.iterdir())
        else:
            assert load_model("far", cache=cache).sha256 == good[0]
    (folder / "m.onnx").write_bytes(bytes(2_300_000))
    with pytest.raises(ModelError, match="the limit is 2200000"):
        load_model("far", cache=tmp_path / "another")
    kept = cached_path("far", tmp_path / f"cache-{good}"[:60])
    kept.write_bytes(b"rotten")
    with pytest.raises(ModelError, match="is not the published file"):
        load_model("far", cache=kept.parent)


@pytest.mark.parametrize("name", ["catalogue", "refiner"])
def test_a_damaged_embedded_model_is_refused(name, tmp_path, monkeypatch):
    for kind in ("onnx", "json"):
        shutil.copy(registry.EMBEDDED / f"{name}.{kind}", tmp_path / f"{name}.{kind}")
    monkeypatch.setattr(registry, "EMBEDDED", tmp_path)
    assert registry.embedded(name) == tmp_path / f"{name}.onnx"
    with open(tmp_path / f"{name}.onnx", "r+b") as file:
        file.seek(1000)
        file.write(b"x")
    with pytest.raises(ModelError, match=f"model {name}: .* is damaged; install alphabeam again"):
        registry.embedded(name)
    (tmp_path / f"{name}.json").unlink()
    with pytest.raises(ModelError, match="is missing; install alphabeam again"):
        registry.embedded(name)


def test_a_download_has_a_size_limit(server, tmp_path):
    url, folder = server
    (folder / "m.onnx").write_bytes(bytes(3000))
    with pytest.raises(ModelError, match="the limit is 2999") as caught:
        fetch(f"{url}/m.onnx", tmp_path / "m.onnx", max_bytes=2999)
    assert one_line(caught) and not (tmp_path / "m.onnx").exists()
    assert fetch(f"{url}/m.onnx", tmp_path / "m.onnx", max_bytes=3000).stat().st_size == 3000
