"""What the tests of the whole way share: a network of 400 bytes, small pictures, small jobs."""

from __future__ import annotations

import gc
import io
import json
import math
import os
import re
import struct
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import settings
from PIL import Image

# The emulator of GCS has no gRPC; the variable is read when gcsfs is imported, whoever does it.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

# The same examples every time; `--hypothesis-profile=explore` looks at others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("same")


def _field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer: a varint, or bytes with their length before them."""

    def varint(value: int) -> bytes:
        out = bytearray()
        while True:
            value, low = value >> 7, value & 127
            out.append(low | (128 if value else 0))
            if not value:
                return bytes(out)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tiny_onnx(steepness: float = 20.0) -> bytes:
    """An ONNX network for pictures on white: alpha = sigmoid(steepness * (0.6 - mean of RGB))."""

    def tensor(name: str, dims: Iterable[int], values: Iterable[float]) -> bytes:
        raw = b"".join(struct.pack("<f", v) for v in values)
        return (
            b"".join(_field(1, d) for d in dims) + _field(2, 1) + _field(8, name) + _field(9, raw)
        )

    def value(name: str, *dims: int | str) -> bytes:
        shape = b"".join(
            _field(1, _field(1, d) if isinstance(d, int) else _field(2, d)) for d in dims
        )
        return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))

    def node(kind: str, inputs: Iterable[str], output: str) -> bytes:
        return b"".join(_field(1, i) for i in inputs) + _field(2, output) + _field(4, kind)

    graph = (
        _field(1, node("Conv", ("rgb", "weight", "bias"), "logit"))
        + _field(1, node("Sigmoid", ("logit",), "alpha"))
        + _field(2, "tiny")
        + _field(5, tensor("weight", (1, 3, 1, 1), [-steepness / 3] * 3))
        + _field(5, tensor("bias", (1,), [steepness * 0.6]))
        + _field(11, value("rgb", 1, 3, "height", "width"))
        + _field(12, value("alpha", 1, 1, "height", "width"))
    )
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a network that takes everything that is not white for the subject."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "tiny.onnx").write_bytes(tiny_onnx())
    (folder / "tiny.json").write_text(json.dumps({"input_size": 64}))
    return str(folder / "tiny.onnx")


def product(seed: int = 0, width: int = 80, height: int = 60) -> np.ndarray:
    """A dark ellipse on white: uint8 height x width x 3."""
    colour = np.random.default_rng(seed).integers(10, 110, 3)
    y, x = np.mgrid[0:height, 0:width]
    inside = ((x - width / 2) / (width / 3)) ** 2 + ((y - height / 2) / (height / 3)) ** 2 < 1
    return np.where(inside[..., None], colour, 250).astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


class Shop:
    """A folder with pictures, a manifest, a job file and an output."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model
        self.job = folder / "job.yaml"
        self.out = folder / "out"

    def picture(self, name: str, seed: int = 0, data: bytes | None = None) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        format = {"jpg": "JPEG", "webp": "WEBP"}.get(name.rsplit(".", 1)[-1], "PNG")
        path.write_bytes(encoded(product(seed), format) if data is None else data)
        return name

    def manifest(self, text: str | bytes, name: str = "manifest.csv") -> Path:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def write_job(self, manifest: str = "manifest.csv", **sections: Any) -> Path:
        job = {
            "input": {"manifest": manifest},
            "backend": {"model": self.model},
            "output": {"directory": "out"},
            "engine": {"processes": 1, "threads": 2},
        }
        for name, value in sections.items():
            job[name] = {**job.get(name, {}), **value} if isinstance(value, dict) else value
        self.job.write_text(yaml.safe_dump(job))
        return self.job

    def run(self, *arguments: str) -> int:
        from alphabeam.pipelines.command import main

        return main([str(self.job), "--quiet", *arguments])

    def records(self) -> list[dict[str, Any]]:
        """The metadata."""
        import pyarrow.dataset as ds

        table = ds.dataset(self.out / "metadata", exclude_invalid_files=True, format="parquet")
        return table.to_table().to_pylist()

    def rows(self) -> dict[str, dict[str, Any]]:
        """The metadata by id; fails where an id occurs twice."""
        records = self.records()
        by_id = {record["id"]: record for record in records}
        assert len(by_id) == len(records), "an id stands in the metadata twice"
        return by_id

    def files(self, *folders: str) -> dict[str, bytes]:
        """Every object below some folders of the output, by relative name.

        A run that was killed may leave a file that was being written, under a name of its own.
        """
        return {
            str(path.relative_to(self.out)): path.read_bytes()
            for folder in folders
            for path in sorted((self.out / folder).rglob("*"))
            if path.is_file() and path.suffix != ".partial"
        }


@pytest.fixture
def shop(tmp_path: Path, tiny_model: str) -> Shop:
    return Shop(tmp_path, tiny_model)


@pytest.fixture
def filled_shop(shop: Shop) -> Callable[..., Shop]:
    """Makes a shop with a number of good pictures, and its job file."""

    def make(count: int = 3, **sections: Any) -> Shop:
        lines = ["image,sku"]
        for number in range(count):
            lines.append(f"{shop.picture(f'images/p{number}.png', number)},S{number}")
        shop.manifest("\n".join(lines) + "\n")
        shop.write_job(**sections)
        return shop

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole jobs are slow, and modules with slow tests go first.

    So the last ones to be begun are soon over, on all workers.
    """
    for item in items:
        if "shop" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto``, three processes for each two cores.

    Tests with jobs, servers and processes of their own wait about as long as they work. Those of
    the quick part do not, and there each process more costs its imports and its collection.
    """
    if "not slow" in config.option.markexpr:
        return None  # xdist's own count: one for each core
    from alphabeam.transforms.cores import cores

    return math.ceil(1.5 * cores())


def pytest_collection_finish() -> None:
    """What was imported for the tests is not looked through for garbage at each job's end."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names long bytes by their argument, and pytest numbers them.

    Their content would fill the screen, and an ICC profile in them holds the time at which it was
    made: two xdist workers would collect tests of different names.
    """
    return argname if isinstance(val, bytes) and len(val) > 32 else None


# What C libraries print by themselves; a picture's fault belongs into its row.
_FROM_C = re.compile(
    r"libpng (?:warning|error)|Corrupt JPEG data|Premature end of JPEG|JPEG datastream"
    r"|TIFF(?:Read|Fetch|Fill|Open)\w*[:.]|\[ ?(?:WARN|ERROR):\d|libde265|OpenJPEG|Invalid SOS"
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that lets a C library print on the terminal fails."""
    report = yield
    printed = _FROM_C.search(report.capstderr + report.capstdout)
    if report.when == "call" and report.passed and printed:
        report.outcome = "failed"
        report.longrepr = f"a C library printed on the terminal: {printed[0]}"
    return report
