"""The job file: bounds, positions of complaints, ``--set``, references, the committed schema."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from alphabeam.pipelines.catalogue import backend_of
from alphabeam.pipelines.engines import DataflowEngine, FlinkEngine, PortableEngine
from alphabeam.pipelines.engines.base import secrets_of
from alphabeam.pipelines.job import SCHEMA_FILE, Job, schema_text
from alphabeam.pipelines.job_file import JobFileError, load_job, parse_job
from alphabeam.transforms.backends.cascade import CascadeBackend

REMOTE = [DataflowEngine, FlinkEngine, PortableEngine]
LEAST = "input:\n  manifest: m.csv\noutput:\n  directory: out\n"
CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


def complaint(text: str, *settings: str) -> str:
    with pytest.raises(JobFileError) as caught:
        parse_job(text, "configs/x.yaml", settings)
    return str(caught.value)


def test_the_least_job_is_complete() -> None:
    job = parse_job(LEAST, "/jobs/shoes.yaml")
    assert job.name == "shoes"
    assert job.input.manifest == "/jobs/m.csv"
    assert job.output.directory == "/jobs/out"
    assert (job.backend.kind, job.engine.kind, job.max_failures) == ("local", "local", 0)


@pytest.mark.parametrize(
    ("name", "uri", "expected"),
    [
        ("jobs/a.yaml", "m.csv", "{cwd}/jobs/m.csv"),
        ("jobs/a.yaml", "../m.csv", "{cwd}/m.csv"),
        ("a.yaml", "m.csv", "{cwd}/m.csv"),
        ("/jobs/a.yaml", "/data/m.csv", "/data/m.csv"),
        ("/jobs/a.yaml", "s3://b/m.csv", "s3://b/m.csv"),
        ("s3://b/jobs/a.yaml", "../m.csv", "s3://b/m.csv"),
        ("/jobs/a.yaml", "images/", "/jobs/images/"),
        ("/jobs/a.yaml", "images/*.jpg", "/jobs/images/*.jpg"),
    ],
)
def test_paths_are_relative_to_the_job_file(name: str, uri: str, expected: str) -> None:
    import os

    job = parse_job(LEAST.replace("m.csv", uri), name)
    assert job.input.manifest == expected.format(cwd=os.getcwd())


def test_an_unknown_key_says_where_and_what_was_meant() -> None:
    text = "input:\n  manifest: m.csv\n  formt: csv\noutput:\n  directory: out\n"
    assert complaint(text) == (
        "configs/x.yaml:3:3: input.formt: extra inputs are not permitted (did you mean 'format'?)"
    )


def test_every_complaint_of_a_file_at_once() -> None:
    text = (
        "inptu: {}\ninput:\n  manifest: m.csv\n  max_pixels: 0\n"
        "matting:\n  erode_size: 41\n  hair_optimization: maybe\nengine:\n  xyzzy: 1\n"
    )
    lines = sorted(complaint(text).splitlines())
    assert len(lines) == 6
    for line, part in zip(
        lines,
        (
            "configs/x.yaml:1:1: inptu: extra inputs are not permitted (did you mean 'input'?)",
            "configs/x.yaml:1:1: output: is missing; it has no default",
            "configs/x.yaml:4:3: input.max_pixels: input should be greater than or equal to 1, got",
            "configs/x.yaml:6:3: matting.erode_size: input should be less than or equal to 40, got",
            "configs/x.yaml:7:3: matting.hair_optimization: input should be 'auto', 'on' or 'off'",
            "configs/x.yaml:9:3: engine.xyzzy: extra inputs are not permitted (known here: kind, ",
        ),
        strict=True,
    ):
        assert line.startswith(part), line


def bounds() -> list[tuple[str, Any, bool]]:
    """Every numeric bound of the schema: dotted key, a value at it or beyond it, is it good."""
    schema = json.loads(schema_text())
    cases: list[tuple[str, Any, bool]] = []

    def walk(node: dict[str, Any], path: str) -> None:
        for name, field in node.get("properties", {}).items():
            key = f"{path}{name}"
            options = field.get("anyOf") or field.get("oneOf") or field.get("allOf") or [field]
            for option in options:
                if "$ref" in option:
                    kind = option["$ref"].rsplit("/", 1)[-1]
                    # whose own tests go through them
                    others = ("PicpikBackend", "CascadeBackend")
                    if kind not in (*others, *(one.__name__ for one in REMOTE)):
                        walk(schema["$defs"][kind], f"{key}.")
                if "minimum" in option:
                    cases.append((key, option["minimum"], True))
                    cases.append((key, option["minimum"] - 1, False))
                if "maximum" in option:
                    cases.append((key, option["maximum"], True))
                    cases.append((key, option["maximum"] + 1, False))
                if "enum" in option:
                    cases.extend((key, value, True) for value in option["enum"])
                    cases.append((key, "none of them", False))

    walk(schema, "")
    return cases


@pytest.mark.slow
def test_there_are_bounds_for_every_number() -> None:
    keys = {key for key, _, _ in bounds()}
    assert {
        "input.max_pixels", "input.max_bytes", "input.threads", "matting.erode_size",
        "matting.foreground_threshold", "matting.background_threshold", "engine.processes",
        "engine.threads", "engine.pixels_in_flight", "max_failures", "input.format",
        "output.cutout_format", "matting.hair_optimization",
    } <= keys  # fmt: skip


@pytest.mark.parametrize(("key", "value", "good"), bounds())
def test_every_bound(key: str, value: Any, good: bool) -> None:
    settings = [f"{key}={value}"]
    if value == "shopify":
        settings.append("output.index_url=https://cdn.example.com")
    if good and key == "matting.foreground_threshold" and value == 0:
        assert "must be under foreground_threshold 0" in complaint(LEAST, *settings)
    elif good and key == "matting.background_threshold" and value == 255:
        assert "must be under foreground_threshold 240" in complaint(LEAST, *settings)
    elif good:
        job: Any = parse_job(LEAST, "/x.yaml", settings)
        for part in key.split("."):
            job = getattr(job, part)
        assert job == value or key.endswith("hair_optimization")
    else:
        assert complaint(LEAST, *settings).startswith(f"--set {key}: {key}: ")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["nothing"], "--set nothing: write key=value"),
        (["=5"], "write key=value"),
        (["a..b=5"], "write key=value"),
        (["matting.erode_size=[5"], "the value is not YAML"),
        (["matting.erode_size=five"], "--set matting.erode_size: matting.erode_size: input should"),
        (["matting.erode_size='5'"], "input should be a valid integer, got '5'"),
        (["matting.erode_size=true"], "input should be a valid integer, got True"),
        (["matting.erode_size=5.5"], "input should be a valid integer"),
        (["input.manifest="], "input should be a valid string, got None"),
        (["input=5"], "input: input should be"),
        (["backend.kind=lokal"], "--set backend.kind: backend.kind: input should be 'local', 'pic"),
        (["backend.kind=lokal"], "or 'cascade', got 'lokal' (did you mean 'local'?)"),
        (["engine.kind=spark"], "'flink' or 'portable', got 'spark'"),
        (["output.cutout_format=weebp"], "input should be 'png' or 'webp', got 'weebp' (did you "),
        (["mating.erode_size=5"], "--set mating.erode_size: mating: extra inputs are"),
        (["backend.model_sha256=abc"], "'abc' does not fit: what the model file must hash to"),
        (["output.directory=''"], "at least 1 character"),
    ],
)  # fmt: skip
def test_wrong_settings(settings: list[str], says: str) -> None:
    message = complaint(LEAST, *settings)
    assert says in message and "\n" not in message


def test_settings_take_yaml_values_and_the_last_wins() -> None:
    job = parse_job(
        LEAST,
        "/x.yaml",
        [
            "matting.erode_size=3", "matting.erode_size=5", "matting.only_mask=true",
            "storage.s3={endpoint_url: 'http://h:1', anon: true}", "name=a=b",
            "input.manifest=s3://b/k=v/m.csv", "matting.hair_optimization=off",
        ],
    )  # fmt: skip
    assert (job.matting.erode_size, job.matting.only_mask, job.name) == (5, True, "a=b")
    assert job.storage == {"s3": {"endpoint_url": "http://h:1", "anon": True}}
    assert job.input.manifest == "s3://b/k=v/m.csv"
    assert job.matting.hair_optimization == "off"


@pytest.mark.parametrize(("written", "meant"), [("on", "on"), ("off", "off"), ("'on'", "on")])
def test_a_bare_on_is_no_truth_value(written: str, meant: str) -> None:
    job = parse_job(LEAST + f"matting:\n  hair_optimization: {written}\n", "/x.yaml")
    assert job.matting.hair_optimization == meant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "configs/x.yaml:1:1: a job file is a mapping with 'input' and 'output'; this one is"),
        ("# nothing\n", "this one is empty"),
        ("- a\n", "this one is list"),
        ("input: [\n", "configs/x.yaml:2:1: not YAML: "),
        ("input:\n\tmanifest: m\n", "configs/x.yaml:2:1: not YAML: "),
        ("a: !!python/object:os.system x\n", "configs/x.yaml:1:4: not YAML: "),
        ("a: \x00\n", "not YAML: "),
        ("a: 1\n---\nb: 2\n", "not YAML: expected a single document in the stream, but found"),
        ("a: &x [*x]\n", "an alias refers to what it is part of"),
        (LEAST + "output:\n  directory: b\n", "configs/x.yaml:5:1: output: stands here a second "
         "time, first at configs/x.yaml:3:1; leave one out"),
        ("1: 2\n" + LEAST, "configs/x.yaml:1:1"),
    ],
)  # fmt: skip
def test_what_is_no_job_file(text: str, says: str) -> None:
    message = complaint(text)
    assert says in message and "\n" not in message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"^job file: cannot read .*none\.yaml: No such"):
        load_job(str(tmp_path / "none.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(JobFileError, match="is not UTF-8 text"):
        load_job(str(tmp_path / "latin.yaml"))
    with pytest.raises(JobFileError, match=r"^job file: cannot read .*Is a directory"):
        load_job(str(tmp_path))


# ------------------------------------------------------------------------------------- references


def test_a_text_setting_keeps_the_digits_that_the_environment_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUILD", "0070")
    monkeypatch.setenv("YES", "true")
    monkeypatch.setenv("SIZE", "7")
    text = LEAST + "name: ${env:BUILD}\nbackend:\n  kind: local\n  model: ${env:YES}\n"
    job = parse_job(text + "matting:\n  erode_size: ${env:SIZE}\n", "/x.yaml")
    assert (job.name, job.backend.model, job.matting.erode_size) == ("0070", "true", 7)
    message = complaint(text + "matting:\n  erode_size: ${env:YES}\n")
    assert "matting.erode_size: input should be a valid integer, got True" in message


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "shoes")
    monkeypatch.setenv("SIZE", "7")
    monkeypatch.setenv("YES", "true")
    monkeypatch.setenv("ODD", "@home: [")
    monkeypatch.delenv("NOT_SET", raising=False)
    text = (
        "name: ${env:ODD}\ninput:\n  manifest: s3://${env:SHOP}/${env:NOT_SET:-all}.csv\n"
        "output:\n  directory: /out/${env:SHOP}\n"
        "matting:\n  erode_size: ${env:SIZE}\n  only_mask: ${env:YES}\n"
    )
    job = parse_job(text, "/x.yaml")
    assert job.input.manifest == "s3://shoes/all.csv"
    assert job.output.directory == "/out/shoes"
    assert (job.matting.erode_size, job.matting.only_mask) == (7, True)
    assert job.name == "@home: ["


def test_a_variable_that_is_not_set_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    message = complaint(LEAST.replace("m.csv", "${env:NOT_SET}"))
    assert message.startswith("configs/x.yaml:2:3: input.manifest: ${env:NOT_SET}: the environment")
    assert "no reference" in complaint(LEAST.replace("m.csv", "${SHOP}"))


def test_secrets_of_stores_stay_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUSH", "the-secret")
    text = LEAST + "storage:\n  s3:\n    key: ${env:K}\n    secret: ${env:HUSH}\n"
    job = parse_job(text, "/x.yaml")
    assert job.storage["s3"]["secret"] == "${env:HUSH}"
    assert "the-secret" not in repr(job) + job.model_dump_json()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            LEAST.replace("m.csv", "https://h/m.csv?sig=hunter22"),
            "configs/x.yaml:2:3: input.manifest: a URL with a password, a signature or a token is "
            "given by reference, ${env:NAME}",
        ),
        (LEAST.replace("m.csv", "sftp://me:hunter22@h/m.csv"), "2:3: input.manifest: a URL with"),
        (LEAST + "backend: {model: 'https://h/m.onnx?token=hunter22'}", "5:11: backend.model: a U"),
        (
            LEAST.replace("directory: out", "directory: sftp://me:hunter22@h/out"),
            "configs/x.yaml:4:3: output.directory: give it without a password",
        ),
    ],
)
def test_a_url_with_a_secret_is_refused_and_not_shown(text: str, says: str) -> None:
    message = complaint(text)
    assert says in message and "hunter" not in message, message


def test_a_url_with_a_secret_may_be_given_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIG", "hunter22")
    job = parse_job(LEAST.replace("m.csv", "'https://h/m.csv?w=1&sig=${env:SIG}'"), "/x.yaml")
    manifest = job.input.manifest
    assert manifest == "https://h/m.csv?w=1&sig=hunter22"
    packed = pickle.dumps(manifest)
    assert b"hunter" not in packed and pickle.loads(packed) == manifest
    assert "hunter" not in repr(manifest)


def test_a_job_by_a_signed_url_is_named_without_it() -> None:
    job = parse_job(LEAST, "https://h/night.yaml?sig=hunter22")
    assert (job.name, job.input.manifest) == ("night", "https://h/m.csv")
    with pytest.raises(JobFileError) as caught:
        parse_job("input: 5", "https://h/night.yaml?sig=hunter22")
    assert "hunter" not in str(caught.value)


def test_places_are_resolved_like_every_path() -> None:
    text = LEAST.replace(
        "m.csv", "m.csv\n  allow: [default, ./photos, s3://shop/a, https://cdn.example, gs]"
    )
    allow = parse_job(text, "/shop/x.yaml").input.allow
    assert allow == ["default", "/shop/photos", "s3://shop/a", "https://cdn.example", "gs"]


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("photos", "'photos' is no place: no such protocol; write https://NAME for a host"),
        ("cdn.example.com", "write https://NAME for a host, ./NAME for a folder"),
        ("https://me:hunter22@cdn.example", "give it without user and password"),
    ],
)
def test_what_is_no_place_says_where(place: str, says: str) -> None:
    message = complaint(LEAST.replace("m.csv", f"m.csv\n  allow: [default, '{place}']"))
    assert message.startswith("configs/x.yaml:3:3: input.allow: ") and says in message
    assert "hunter" not in message


@pytest.mark.parametrize(
    ("storage", "where"),
    [
        ("{s3: {secret: hunter22}}", "storage.s3.secret: a secret is given by reference"),
        ("{s3: {client_kwargs: {a: {password: hunter22}}}}", "client_kwargs.a.password: a secret"),
        ("{s3: {key: '${env:X:-hunter22}'}}", "storage.s3.key: a secret is given by reference"),
        ("{http: {headers: {h.example: {Cookie: hunter22}}}}", "h.example.Cookie: a secret"),
        ("{s3: {password: 22334455}}", "storage.s3.password: a secret is given by reference"),
        ("{s3: {secret: *hunter22}}", "not YAML: found undefined alias"),
        ("{s3: {secret: !hunter22 x}}", "not YAML: could not determine a constructor for the tag"),
        ("{s3: {secret: !hunter22!x y}}", "not YAML: while parsing a node, found undefined tag"),
        ("{s3: hunter22}", "storage.s3: input should be a valid dictionary"),
        ("[hunter22]", "storage: input should be a valid dictionary"),
        ("hunter22", "storage: input should be a valid dictionary"),
        ("{s3: {secret: 'hunter22}}", "not YAML: while scanning a quoted scalar"),
        ("{s3: {secret: hunter22: x}}", "not YAML: while parsing a flow mapping"),
        ("{s3: {secret: @hunter22}}", "not YAML: while scanning for the next token"),
        ("{s3: {since: 2026-13-01, secret: hunter22}}", "storage.s3.secret"),
    ],
)
def test_a_secret_in_storage_is_refused_and_never_shown(
    storage: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = complaint(LEAST + f"storage: {storage}\n")
    assert where in message, message
    assert "hunter" not in message and "2233" not in message
    with pytest.raises(JobFileError) as caught:
        parse_job(LEAST, "configs/x.yaml", [f"storage={storage}"])
    assert "hunter" not in str(caught.value) and "2233" not in str(caught.value)


def test_a_setting_that_is_no_assignment_is_not_shown() -> None:
    for setting in ("storage.s3.secret=[hunter22", "=hunter22", "..=hunter22"):
        with pytest.raises(JobFileError) as caught:
            parse_job(LEAST, "configs/x.yaml", [setting])
        assert "hunter" not in str(caught.value)


CASCADE = LEAST + "backend:\n  kind: cascade\n"


def test_a_cascade_has_the_settings_of_both(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LIMIT", "7")
    text = (
        "  flags: [part_removed]\n  at_most: 10 %\n  local: {model: own/net.onnx}\n"
        "  picpik: {max_tasks: '${env:LIMIT}', private_key: '${env:NOT_SET}'}\n"
    )
    job = parse_job(CASCADE + text, str(tmp_path / "x.yaml"), ["backend.below=.5"])
    assert job.local_backend is not None and job.api is not None
    assert job.local_backend.model == str(tmp_path / "own/net.onnx")
    assert (job.api.max_tasks, job.api.private_key) == (7, "${env:NOT_SET}")
    assert [*secrets_of(job)] == [
        (("backend", "picpik", "public_key"), "${env:PICPIK_PUBLIC_KEY}"),
        (("backend", "picpik", "private_key"), "${env:NOT_SET}"),
    ]
    backend = backend_of(job)
    assert isinstance(backend, CascadeBackend)
    assert (backend.below, backend.flags, backend.at_most) == (0.5, ("part_removed",), "10 %")
    assert backend.picpik.max_tasks == 7 and backend.local.model == job.local_backend.model


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("  below: 85\n", ":7:3: backend.below: input should be less than or equal to 1, got 85"),
        ("  flags: [low]\n", ":7:11: backend.flags.0: input should be 'empty', 'nearly_empty', "),
        ("  at_most: 10\n", ":7:3: backend.at_most: 10 does not fit: most tasks to submit in "),
        ("  at_most: '200%'\n", "rows, such as `10%`; beside `picpik.max_tasks`"),
        ("  max_tasks: 5\n", "backend.max_tasks: extra inputs are not permitted (known here: "),
        (
            "  picpik:\n    max_task: 5\n",
            ":8:5: backend.picpik.max_task: extra inputs are not permitted (did you mean 'max_ta",
        ),
        (
            "  picpik:\n    public_key: abc\n",
            ":8:5: backend.picpik.public_key: give a reference such as",
        ),
    ],
)
def test_a_wrong_cascade_is_one_line(text: str, says: str) -> None:
    (line,) = complaint(CASCADE + text).splitlines()
    assert says in line and "abc" not in line


# ---------------------------------------------------------------------------- schema and configs


@pytest.mark.slow
def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run: python -m alphabeam.pipelines.reference"
    )


@pytest.mark.slow
def test_every_setting_is_described() -> None:
    schema = json.loads(schema_text())
    for name, section in {"Job": schema, **schema["$defs"]}.items():
        for key, field in section["properties"].items():
            reference = "$ref" in field or "oneOf" in field
            assert field.get("description") or reference, f"{name}.{key} has no description"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_is_good_and_names_the_schema(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=job.schema.json\n")
    for name, default in re.findall(r"\$\{env:(\w+)(:-)?", text):
        if not default:
            monkeypatch.setenv(name, "1")
    job = load_job(str(path))
    assert isinstance(job, Job) and job.name == path.stem
    assert yaml.safe_load(text)["output"]["directory"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("08", 8), ("1_000", 1000), ("0x10", 16), ("+5", 5), ("000", 0),
        ("0o10", None), ("0b11", None), ("1:30", None), ("2024-01-01", None), ("1.5", None),
        ("yes", None), ("10e1", None), ("=", None), ("~", None),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_read_them(text: str, value: int | None) -> None:
    """YAML 1.1 reads 010 as 8, 1:30 as 90, 0b11 as 3."""
    job = f"{LEAST}max_failures: {text}\n"
    if value is None:
        assert complaint(job).startswith("configs/x.yaml:5:1: max_failures: ")
        assert complaint(LEAST, f"max_failures={text}").startswith("--set max_failures: ")
    else:
        assert parse_job(job).max_failures == value
        assert parse_job(LEAST, settings=[f"max_failures={text}"]).max_failures == value


@pytest.mark.parametrize("text", ["no", "on", "1:30", "2024-01-01", "0o10", "a=b", "yes", "off"])
def test_texts_stay_texts(text: str) -> None:
    assert parse_job(f"name: {text}\n{LEAST}").name == text
    assert parse_job(LEAST, settings=[f"name={text}"]).name == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("yes", True), ("on", True), ("off", False), ("No", False)],
)
def test_truths(text: str, value: bool) -> None:
    job = f"{LEAST}matting:\n  only_mask: {text}\n"
    assert parse_job(job).matting.parameters().only_mask is value
    assert "got 'perhaps'" in complaint(f"{LEAST}matting:\n  only_mask: perhaps\n")
    hair = f"{LEAST}matting:\n  hair_optimization: {text}\n"
    if text in ("on", "off"):
        assert parse_job(hair).matting.parameters().hair_optimization == text


@pytest.mark.parametrize("text", ["1e2", "1E+2", "100.0", "100", "1_00."])
def test_fractions(text: str) -> None:
    job = LEAST.replace("m.csv", f"m.csv\n  read_timeout: {text}")
    assert parse_job(job).input.read_timeout == 100


@pytest.mark.parametrize(
    "value", ["*.jpg", "photos/*.{jpg,png}", "{a,b}/*.jpg", "[ab]*.jpg", "a #b.jpg", "%41.csv",
              "@list.csv", "&a.csv", "!b.csv", "a: b.csv", "010"]
)  # fmt: skip
def test_a_text_that_is_set_needs_no_quotes(value: str) -> None:
    job = parse_job(LEAST, "/jobs/a.yaml", [f"input.manifest={value}"])
    assert job.input.manifest == f"/jobs/{value}"
    job = parse_job(LEAST, "/jobs/a.yaml", [f"input.manifest='{value}'"])
    assert job.input.manifest == f"/jobs/{value}", "and may have them"


def test_settings_of_the_manifest() -> None:
    settings = ["input.delimiter=;", "input.encoding=cp1252", "input.columns.image=Foto 2"]
    job = parse_job(LEAST, settings=settings)
    assert job.input.columns == {"image": "Foto 2"}
    assert "input.delimiter: string should match" in complaint(LEAST, "input.delimiter=;;")
    assert "input.encoding: encoding 'klingon' is not known" in complaint(
        LEAST, "input.encoding=klingon"
    )
    assert "input.columns.pic" in complaint(LEAST, "input.columns.pic=x")


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    assert "not YAML" in complaint(f"{LEAST}max_failures: {'9' * 5000}\n")
