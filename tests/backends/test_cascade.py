"""The cascade without a job: what is doubtful, what is kept, and how the limits hold."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.backends.cascade import _DOWN_AFTER, _DOWN_S, CascadeBackend, _Api
from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.backends.settings import Doubt
from alphabeam.transforms.cutouts import write_cutout
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import fetch
from alphabeam.transforms.ledger.skip import keys_of
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.matting.quality import FLAGS
from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import Emulator, Faults, running_emulator
from alphabeam.transforms.remove_background import RemoveBackground
from alphabeam.transforms.rows import DONE, PENDING, Picture, Row
from tests.conftest import encoded, product
from tests.picpik_jobs import doubtful

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.picpik_jobs", "alphabeam.transforms.backends.cascade"])


def backend_of(
    folder: Path, emulator: Emulator, model: str, cascade: dict[str, Any] | None = None, **api: Any
) -> CascadeBackend:
    (folder / "private_key").write_text(emulator.private_key)
    picpik = PicpikBackend(
        str(folder / "out"),
        public_key=emulator.public_key,
        private_key="${file:" + str(folder / "private_key") + "}",
        endpoint=emulator.endpoint,
        **api,
    )
    return CascadeBackend(local=LocalBackend(model, threads=1), picpik=picpik, **(cascade or {}))


def row_of(folder: Path, name: str, data: bytes) -> Row:
    path = folder / f"{name}.png"
    path.write_bytes(data)
    return Row(
        name,
        str(path),
        source_version=storage.stat(str(path)).version,
        source_sha256=hashlib.sha256(data).hexdigest(),
    )


def done(backend: CascadeBackend, *rows: Row) -> list[Picture]:
    """The rows as `RemoveBackground` does them, one after another."""
    first, second = RemoveBackground(backend).stages
    assert second.concerns is not None
    matte, buy = first.open(), second.open()
    pictures = [matte(fetch(row, Limits())) for row in rows]
    return [buy(one) if second.concerns(one) else one for one in pictures]


def bought_by_a_process(backend: CascadeBackend, rows: list[Row]) -> list[tuple[str, ...]]:
    """Does the rows in this process; gives each one's backend and flags."""
    return [(one.row.backend, *one.row.flags) for one in done(backend, *rows)]


same_keys = {"public_key": "one-key", "private_key": "one-key"}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_the_cap_holds_for_all_processes(tmp_path: Path, tiny_model: str, processes: int) -> None:
    rows = [row_of(tmp_path, f"d{n}", doubtful(n)) for n in range(9)]
    rows += [row_of(tmp_path, f"s{n}", encoded(product(n))) for n in range(3)]
    share = {"at_most": "50%", "rows": 12}  # 6 of them, and 4 by the API's own limit
    with running_emulator(**same_keys) as emulator:
        backend = backend_of(tmp_path, emulator, tiny_model, share, max_tasks=4)
        work = [(backend, rows[n::processes]) for n in range(processes)]
        if processes == 1:
            found = bought_by_a_process(*work[0])
        else:
            with PROCESSES.Pool(processes) as pool:
                found = [one for part in pool.starmap(bought_by_a_process, work) for one in part]
        assert emulator.billed == 4
    assert sum(one[0] == "picpik" for one in found) == 4
    assert sum(one[-2:] == ("kept_local", "budget_spent") for one in found) == 5
    assert sum("kept_local" not in one for one in found if one[0] == "local") == 3


@pytest.mark.slow
def test_a_share_is_of_the_rows_that_the_survey_counted(
    tmp_path: Path, tiny_model: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row_of(tmp_path, f"d{n}", doubtful(n)) for n in range(4)]
    survey = str(tmp_path / "survey.json")
    with running_emulator(**same_keys) as emulator:
        share = {"at_most": "12.5 %", "survey": survey}
        backend = backend_of(tmp_path, emulator, tiny_model, share)
        first, second = RemoveBackground(backend).stages
        matte, buy = first.open(), second.open()  # before the survey is written, as in a job
        Path(survey).write_text(json.dumps({"rows": 23, "lines": 0}))
        found = [buy(matte(fetch(row, Limits()))).row.backend for row in rows]
        assert found == ["picpik", "picpik", "local", "local"]  # 2.875 of 23
        assert emulator.billed == 2
    assert "budget_spent: at_most 12.5 % (2 of 23 rows) is reached; raise it" in caplog.text
    assert "max_tasks" not in caplog.text


@pytest.mark.parametrize(
    ("options", "code", "again"),
    [
        ({"credits": 0}, "api_refused", "bought"),
        ({"faults": {"task_error": 1.0}}, "task_failed", "left alone"),
        ({"faults": {"RemoveBackground:answer_lost": 1.0}}, "submit_unknown", "kept"),
        ({"faults": {"result_html": 1.0}}, "api_answer", "collected"),
        ({"faults": {"task_stuck": 1.0}}, "task_timeout", "collected"),
    ],
)
def test_whatever_the_api_fails_with_the_local_result_is_kept(
    tmp_path: Path, tiny_model: str, options: dict[str, Any], code: str, again: str
) -> None:
    row = row_of(tmp_path, "d", doubtful(1))
    output = Output(str(tmp_path / "out"))
    with running_emulator(**same_keys, **options) as emulator:
        backend = backend_of(tmp_path, emulator, tiny_model, task_timeout=0.5)
        (picture,) = done(backend, row)
        assert picture.row.status == PENDING and picture.alpha is not None and not picture.data
        kept = write_cutout(picture, output)
        assert kept.status == DONE and kept.backend == "local"
        assert kept.flags[-2:] == ("kept_local", code)
        assert kept.local_confidence == kept.confidence and kept.doubts == ("confidence",)

        # The next run finds it as it was finished, and has its result from there.
        emulator.faults, emulator._credits = Faults({}), None
        for task in emulator.tasks.values():
            task.fate = "" if task.fate == "task_stuck" else task.fate
        billed = emulator.billed
        second = backend.second
        assert second.wants(kept) == (again != "left alone")
        if not second.wants(kept):
            return
        backend = backend_of(tmp_path, emulator, tiny_model)
        (picture,) = done(backend, kept._replace(status=PENDING))
        assert emulator.billed - billed == (again == "bought")
        if again == "kept":
            assert picture.row.status == DONE and picture.row.flags == kept.flags
            assert picture.row.cutout == kept.cutout and picture.alpha is None
        else:
            assert picture.row.backend == "picpik" and picture.row.status == PENDING
            assert picture.row.cutout is None and "kept_local" not in picture.row.flags
            assert picture.row.fingerprint == second.fingerprinted(row).fingerprint


def test_what_is_doubtful() -> None:
    assert {*Doubt.__args__} == {*FLAGS} - {"own_alpha", "whole"}
    picpik = PicpikBackend("out")
    backend = CascadeBackend(picpik=picpik, below=0.9, flags=("touches_border", "part_removed"))
    sure = Row("a", "a.png", backend="local", confidence=0.9)
    assert backend.doubts(sure) == () and not backend.second.wants(sure)
    low = sure._replace(confidence=0.8999, flags=("touches_border", "very_soft"))
    assert backend.doubts(low) == ("confidence", "touches_border")
    assert backend.second.wants(low)
    # Nobody decided about a picture that comes cut out; and what the API made is no local result.
    assert not backend.second.wants(low._replace(flags=(*low.flags, "own_alpha")))
    assert not backend.second.wants(low._replace(backend="picpik"))
    # The metadata has 24 bits of a confidence.
    edge = CascadeBackend(picpik=picpik, below=0.85)
    assert not edge.doubts(sure._replace(confidence=0.8499999642))
    api, local = keys_of(edge, sure._replace(source_sha256="00", backend=""))
    assert (api.backend, local.backend) == ("picpik", "local")
    assert api.fingerprint != local.fingerprint


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"below": 1.5}, "below: 1.5 is outside 0..1"),
        ({"flags": ("own_alpha",)}, "flags: 'own_alpha' is not one of empty, "),
        ({"at_most": "ten"}, "at_most: 'ten' is no share of the rows"),
        ({"at_most": "101%"}, "at_most: '101%' is no share"),
        ({"at_most": "10%"}, "which only a whole job knows; set picpik.max_tasks"),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        CascadeBackend(picpik=PicpikBackend("out"), **settings)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("at_most", "max_tasks", "most"),
    [(None, None, None), (None, 7, 7), ("10%", None, 3), ("10 %", 2, 2), ("100%", None, 39),
     ("0%", None, 0), ("29%", None, 11)],
)  # fmt: skip
def test_the_most_tasks_of_a_run(
    at_most: str | None, max_tasks: int | None, most: int | None
) -> None:
    picpik = PicpikBackend("out", max_tasks=max_tasks)
    assert CascadeBackend(picpik=picpik, at_most=at_most, rows=39).most_tasks(39) == most


def test_an_api_that_is_down_is_left_alone_for_a_while() -> None:
    now, asked = [0.0], [0]

    class Down:
        def open(self) -> Any:
            def remove(picture: Picture) -> Picture:
                asked[0] += 1
                error = RowError(ErrorCode.API_UNAVAILABLE, "no")
                return Picture(picture.row.failed("remove", error))

            return remove

    api = _Api(lambda: Down(), clock=lambda: now[0])  # type: ignore[arg-type,return-value]
    for _ in range(3 * _DOWN_AFTER):
        row = api.remove(Picture(Row("a", "a.png"))).row
        assert row.error_code == "api_unavailable"
    assert asked[0] == _DOWN_AFTER
    now[0] = _DOWN_S
    api.remove(Picture(Row("a", "a.png")))
    assert asked[0] == _DOWN_AFTER + 1


def test_two_rows_with_one_doubtful_picture_share_the_task(tmp_path: Path, tiny_model: str) -> None:
    rows = [row_of(tmp_path, name, doubtful(1)) for name in ("a", "b")]
    with running_emulator(**same_keys) as emulator:
        one, other = done(backend_of(tmp_path, emulator, tiny_model), *rows)
        assert emulator.billed == 1
    assert one.row.task_uid == other.row.task_uid
    assert (one.row.credits, other.row.credits) == (1, 0)


def test_a_finished_result_stays_though_its_source_cannot_be_read(
    tmp_path: Path, tiny_model: str
) -> None:
    row = row_of(tmp_path, "d", doubtful(1))
    with running_emulator(**same_keys) as emulator:
        backend = backend_of(tmp_path, emulator, tiny_model, max_tasks=0)
        (picture,) = done(backend, row)
        kept = write_cutout(picture, Output(str(tmp_path / "out")))
        Path(row.image).unlink()
        (picture,) = done(backend_of(tmp_path, emulator, tiny_model), kept._replace(status=PENDING))
        assert emulator.billed == 0
    assert picture.row.status == DONE and picture.row.cutout == kept.cutout
    assert picture.row.flags == (*kept.flags[:-1], "not_found") and not picture.row.error_code
