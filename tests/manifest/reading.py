"""How the manifests' tests read them: shard by shard, as the workers do."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings

from alphabeam.transforms.manifest import (
    Manifest,
    Shard,
    read_shard,
    survey,
)
from alphabeam.transforms.rows import FAILED, PENDING, Row

QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(manifest: Manifest | Path | str) -> list[Row]:
    """All rows, shard by shard, as the workers read them; times of failures left out."""
    if not isinstance(manifest, Manifest):
        manifest = Manifest(str(manifest))
    surveyed = survey(manifest)
    rows = [
        row._replace(finished_at=None)
        for shard in surveyed.shards
        for row in read_shard(manifest, shard, surveyed.collisions)
    ]
    assert len(rows) == surveyed.rows
    return rows


def wrong(rows: list[Row]) -> dict[int, tuple[str, str]]:
    """Failed rows by line: code and message."""
    for row in rows:
        assert row.status in (PENDING, FAILED)
        if row.status == FAILED:
            assert row.error_stage == "manifest"
            assert "\n" not in (row.error_message or "")
    return {
        row.line: (row.error_code or "", row.error_message or "")
        for row in rows
        if row.status == FAILED
    }


def write(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def one_pass(manifest: Manifest) -> list[Row]:
    """All rows by reading the manifest as one shard."""
    shard = Shard(0, None, 1)
    return [row._replace(finished_at=None) for row in read_shard(manifest, shard)]
