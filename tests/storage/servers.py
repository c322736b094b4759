"""Real servers for the contract tests: each starts on a free loopback port, or says why it cannot.

Each ``start_*`` returns a :class:`Store`, or raises :class:`MissingServerError` with the reason.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Options = Mapping[str, Mapping[str, Any]]
REPOSITORY = Path(__file__).resolve().parents[2]

# The full counts and combinations make docs/storage.md; fewer keep the everyday run short.
FULL = bool(os.environ.get("ALPHABEAM_STORES_FULL"))
# objects in one folder
MANY = int(os.environ.get("ALPHABEAM_STORES_MANY", 10_000 if FULL else 120))
FILLED = "jobs/test_many_objects"  # which some servers have filled when they start


class MissingServerError(Exception):
    """A server that cannot be had here."""


@dataclass
class Store:
    """A running store.

    Attributes:
        name: As it stands in the table.
        root: A folder that the tests may write to.
        options: What reaches it.
        command: How the server is started, for the table.
        missing_bucket: A folder in a bucket that is not there.
        denied: A folder and the options of someone who may not write there.
        wrong: A folder and options with wrong credentials.
        not_applicable: Contract test -> why it means nothing here.
        fill: Puts that many small objects into a folder faster than one by one.
    """

    name: str
    root: str
    options: Options = field(default_factory=dict)
    command: str = ""
    missing_bucket: str | None = None
    denied: tuple[str, Options] | None = None
    wrong: tuple[str, Options] | None = None
    not_applicable: dict[str, str] = field(default_factory=dict)
    fill: Callable[[str, int], None] | None = None
    stop: Callable[[], None] = lambda: None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def launch(
    command: list[str], port: int, *, env: dict[str, str] | None = None, seconds: float = 90
) -> Callable[[], None]:
    """Starts a server, waits until it accepts connections; returns what stops it."""
    log = tempfile.TemporaryFile()  # noqa: SIM115
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )

    def stop() -> None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        log.close()

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log.seek(0)
            raise MissingServerError(
                f"{command[0]} ended: {log.read().decode(errors='replace')[-400:]}"
            )
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return stop
        time.sleep(0.05)
    stop()
    raise MissingServerError(f"{command[0]} did not listen within {seconds:.0f} s")


def need(*modules: str) -> None:
    """Refuses, by name, if a Python package is missing."""
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingServerError(f"the Python package {module} is not installed")


def program(name: str, *places: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise MissingServerError(f"{name} is not installed")
    return found


def _python(source: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(source), *arguments]


_SECRETS = ("key", "secret", "connection_string")


def references(options: Options, folder: Path) -> dict[str, Any]:
    """The options as a job file gives them: secrets by reference, to files in a new folder."""
    folder.mkdir(exist_ok=True)
    given = {protocol: dict(values) for protocol, values in options.items()}
    for protocol, values in given.items():
        for name in _SECRETS:
            if name in values:
                path = folder / f"{protocol}-{name}"
                path.write_text(values[name])
                values[name] = f"${{file:{path}}}"
    return given


# ---- no server


def start_local() -> Store:
    folder = tempfile.mkdtemp(prefix="alphabeam-local-")
    return Store(
        "local",
        folder,
        command="none",
        not_applicable={
            "missing_bucket": "no buckets",
            "wrong_credentials": "no credentials",
        },
        fill=lambda below, count: _fill_disk(Path(below), count),
        stop=lambda: shutil.rmtree(folder, ignore_errors=True),
    )


def start_memory() -> Store:
    return Store(
        "memory",
        f"memory://alphabeam-{os.getpid()}",
        command="none",
        not_applicable={
            "missing_bucket": "no buckets",
            "wrong_credentials": "no credentials",
            "denied": "no permissions",
            "second_process": "each process has its own",
            "create_in_two_processes": "each process has its own",
            "killed_writer": "each process has its own",
        },
    )


def _fill_disk(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"{index:05d}.txt").write_bytes(b"%d" % index)


def _fill_http(port: int, method: str, path: str, headers: dict[str, str], count: int) -> None:
    """Bare requests: the libraries take ten times as long."""
    import http.client

    def some(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for index in range(first, count, 16):
            name = path.replace("{}", f"{index:05d}.txt")
            kind = {"Content-Type": "text/plain", **headers}
            connection.request(method, name, b"%d" % index, kind)
            answer = connection.getresponse()
            answer.read()
            assert answer.status < 300, answer.status
        connection.close()

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(some, first) for first in range(16)]:
            done.result()


# ---- S3

_S3_SERVER = """
    import sys, threading
    from moto.s3.models import s3_backends
    from moto.s3.responses import S3Response
    from moto.server import main
    # its condition If-None-Match is looked at before the object is stored, without a lock
    lock, put = threading.Lock(), S3Response.put_object
    def put_object(self):
        with lock:
            return put(self)
    S3Response.put_object = put_object
    port, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket("alphabeam", "us-east-1")
    for index in range(count):
        backend.put_object("alphabeam", f"{folder}/{index:05d}.txt", b"%d" % index)
    main(["-H", "127.0.0.1", "-p", port])
"""
_S3_KEYS = {"key": "testing", "secret": "testing-secret"}


def start_s3() -> Store:
    """moto; permissions are enforced by a second one, since that slows every request down."""
    need("moto", "flask", "flask_cors", "s3fs")
    port = free_port()
    stop = launch(_python(_S3_SERVER, str(port), FILLED, str(MANY)), port)
    url = f"http://127.0.0.1:{port}"
    options = {"s3": {"endpoint_url": url, **_S3_KEYS}}
    return Store(
        "s3",
        "s3://alphabeam/jobs",
        options,
        command="moto_server -H 127.0.0.1 -p PORT",
        missing_bucket="s3://no-such-bucket/jobs",
        fill=lambda below, count: None,
        stop=stop,
    )


def start_s3_with_permissions() -> Store:
    """moto with IAM: one user may read, nobody else may do anything."""
    need("moto", "flask", "flask_cors", "s3fs")
    import json

    import boto3

    port = free_port()
    before_enforcement = 6  # the calls below
    stop = launch(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        port,
        env={"INITIAL_NO_AUTH_ACTION_COUNT": str(before_enforcement)},
    )
    url = f"http://127.0.0.1:{port}"
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing-secret"}
    s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    s3.create_bucket(Bucket="alphabeam")
    s3.put_object(Bucket="alphabeam", Key="jobs/there.txt", Body=b"there")
    iam = boto3.client("iam", endpoint_url=url, region_name="us-east-1", **keys)
    iam.create_user(UserName="reader")
    reading = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    iam.put_user_policy(
        UserName="reader",
        PolicyName="reading",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [reading]}),
    )
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    s3.list_objects_v2(Bucket="alphabeam")
    reader = {
        "s3": {"endpoint_url": url, "key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    }
    stranger = {"s3": {"endpoint_url": url, "key": "AKIASTRANGER", "secret": "wrong-secret-value"}}
    return Store(
        "s3",
        "s3://alphabeam/jobs",
        reader,
        denied=("s3://alphabeam/jobs", reader),
        wrong=("s3://alphabeam/jobs", stranger),
        stop=stop,
    )


# ---- Azure

_AZURE_KEY = (  # the one that Azurite's manual publishes
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


def start_azure() -> Store:
    need("adlfs", "azure.storage.blob")
    from datetime import datetime, timedelta, timezone

    from azure.storage.blob import (
        AccountSasPermissions,
        BlobServiceClient,
        ResourceTypes,
        generate_account_sas,
    )

    azurite = program("azurite-blob", str(REPOSITORY / "node_modules" / ".bin"))
    port = free_port()
    stop = launch(
        [
            azurite,
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(port),
            "--inMemoryPersistence",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--silent",
        ],
        port,
    )
    account = "devstoreaccount1"
    url = f"http://127.0.0.1:{port}/{account}"

    def connection(secret: str) -> str:
        return f"DefaultEndpointsProtocol=http;AccountName={account};{secret};BlobEndpoint={url};"

    service = BlobServiceClient.from_connection_string(connection(f"AccountKey={_AZURE_KEY}"))
    service.create_container("alphabeam")
    reading, writing = (
        generate_account_sas(
            account,
            _AZURE_KEY,
            ResourceTypes(service=True, container=True, object=True),
            permissions,
            datetime.now(timezone.utc) + timedelta(hours=4),
        )
        for permissions in (
            AccountSasPermissions(read=True, list=True),
            AccountSasPermissions(write=True, create=True),
        )
    )
    wrong_key = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXkgd3Jvbmcga2V5IHdyb25nIGtleSE="

    def options(secret: str) -> Options:
        return {"abfs": {"account_name": account, "connection_string": connection(secret)}}

    return Store(
        "azure",
        "abfs://alphabeam/jobs",
        options(f"AccountKey={_AZURE_KEY}"),
        command="azurite-blob --blobHost 127.0.0.1 --blobPort PORT --inMemoryPersistence "
        "--skipApiVersionCheck",
        missing_bucket="abfs://no-such-container/jobs",
        fill=lambda below, count: _fill_http(
            port,
            "PUT",
            f"/{account}/alphabeam/{FILLED}/{{}}?{writing}",
            {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-08-06"},
            count,
        ),
        denied=("abfs://alphabeam/jobs", options(f"SharedAccessSignature={reading}")),
        wrong=("abfs://alphabeam/jobs", options(f"AccountKey={wrong_key}")),
        stop=stop,
    )


# ---- Google Cloud Storage

_GCS_SERVER = """
    import http.server, sys, threading
    # its HTTP server answers one request at a time; give it one thread each
    http.server.HTTPServer = http.server.ThreadingHTTPServer
    http.server.BaseHTTPRequestHandler.protocol_version = "HTTP/1.1"
    # it knows no conditions on an upload
    from gcp_storage_emulator.handlers import objects
    lock, insert = threading.Lock(), objects.insert
    def insert_if(request, response, storage, *args, **kwargs):
        with lock:
            if request.query.get("ifGenerationMatch") == ["0"]:
                meta = request.data["meta"] if isinstance(request.data, dict) else {}
                name = request.query.get("name", [meta.get("name")])[0]
                try:
                    storage.get_file_obj(request.params["bucket_name"], name)
                except Exception:
                    pass
                else:
                    response.status = http.HTTPStatus.PRECONDITION_FAILED
                    response.json({"error": {"code": 412, "message": "there is one"}})
                    return None
            return insert(request, response, storage, *args, **kwargs)
    objects.insert = insert_if
    from gcp_storage_emulator.server import create_server
    from gcp_storage_emulator.storage import Storage
    Storage._write_config_to_file = lambda self: None  # all objects' index, with every object
    port = int(sys.argv[1])
    create_server("127.0.0.1", port, in_memory=True, default_bucket="alphabeam").start()
    threading.Event().wait()
"""


def start_gcs() -> Store:
    need("gcsfs", "gcp_storage_emulator")
    port = free_port()
    stop = launch(_python(_GCS_SERVER, str(port)), port)
    return Store(
        "gcs",
        "gs://alphabeam/jobs",
        {"gs": {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon"}},
        command="gcp-storage-emulator start --host 127.0.0.1 --port PORT --in-memory "
        "(with a ThreadingHTTPServer; GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false)",
        missing_bucket="gs://no-such-bucket/jobs",
        fill=lambda below, count: _fill_http(
            port,
            "POST",
            "/upload/storage/v1/b/alphabeam/o?uploadType=media&name=" + FILLED + "/{}",
            {},
            count,
        ),
        not_applicable={
            "denied": "the emulator checks no permissions",
            "wrong_credentials": "the emulator checks no credentials",
        },
        stop=stop,
    )


# ---- SFTP


def start_sftp() -> Store:
    need("paramiko")
    sshd = program("sshd", "/usr/sbin")
    keygen = program("ssh-keygen")
    folder = Path(tempfile.mkdtemp(prefix="alphabeam-sftp-"))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to start as root without it
    for key in ("host", "writer", "reader", "stranger"):
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True
        )
    (folder / "authorized").write_text(
        (folder / "writer.pub").read_text()
        + 'command="internal-sftp -R" '
        + (folder / "reader.pub").read_text()
    )
    port = free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 100\nMaxSessions 100\n"
        "Subsystem sftp internal-sftp\n"
    )
    stop = launch([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], port)
    data = folder / "data"
    data.mkdir()

    import getpass

    def options(key: str) -> Options:
        return {
            "sftp": {
                "username": getpass.getuser(),
                "key_filename": str(folder / key),
                "look_for_keys": False,
                "allow_agent": False,
            }
        }

    root = f"sftp://127.0.0.1:{port}{data}"

    def end() -> None:
        stop()
        shutil.rmtree(folder, ignore_errors=True)

    return Store(
        "sftp",
        root,
        options("writer"),
        command="sshd -D -e -f CONFIG (Port, HostKey, AuthorizedKeysFile, "
        "Subsystem sftp internal-sftp)",
        denied=(root, options("reader")),
        wrong=(root, options("stranger")),
        not_applicable={"missing_bucket": "no buckets"},
        fill=lambda below, count: _fill_disk(data / below[len(root) :].strip("/"), count),
        stop=end,
    )


# ---- WebDAV

_WEBDAV_SERVER = """
    import sys
    from cheroot.wsgi import Server
    from wsgidav.wsgidav_app import WsgiDAVApp
    folder, port = sys.argv[1], int(sys.argv[2])
    app = WsgiDAVApp({
        "provider_mapping": {"/": folder, "/readonly": {"root": folder, "readonly": True}},
        "simple_dc": {"user_mapping": {"*": {"writer": {"password": "writer-password"}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False,
                               "default_to_digest": False},
        "verbose": 0, "logging": {"enable": False},
    })
    Server(("127.0.0.1", port), app, numthreads=32).start()
"""


def start_webdav() -> Store:
    need("wsgidav", "cheroot", "webdav4")
    folder = Path(tempfile.mkdtemp(prefix="alphabeam-webdav-"))
    port = free_port()
    stop = launch(_python(_WEBDAV_SERVER, str(folder), str(port)), port)

    def options(password: str, path: str = "/") -> Options:
        return {
            "webdav": {
                "base_url": f"http://127.0.0.1:{port}{path}",
                "auth": ["writer", password],
            }
        }

    def end() -> None:
        stop()
        shutil.rmtree(folder, ignore_errors=True)

    root = "webdav://jobs"
    return Store(
        "webdav",
        root,
        options("writer-password"),
        command="wsgidav --host 127.0.0.1 --port PORT --root FOLDER",
        denied=(root, options("writer-password", "/readonly/")),
        wrong=(root, options("wrong-password")),
        not_applicable={"missing_bucket": "no buckets"},
        fill=lambda below, count: _fill_disk(folder / below[len("webdav://") :], count),
        stop=end,
    )


# ---- FTP

_FTP_SERVER = """
    import sys
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer
    folder, port = sys.argv[1], int(sys.argv[2])
    FTPHandler.authorizer = DummyAuthorizer()
    FTPHandler.authorizer.add_user("writer", "writer-password", folder, perm="elradfmwMT")
    FTPHandler.authorizer.add_user("reader", "reader-password", folder, perm="elr")
    FTPHandler.auth_failed_timeout = 0
    ThreadedFTPServer(("127.0.0.1", port), FTPHandler).serve_forever()
"""


def start_ftp() -> Store:
    need("pyftpdlib")
    folder = Path(tempfile.mkdtemp(prefix="alphabeam-ftp-"))
    port = free_port()
    stop = launch(_python(_FTP_SERVER, str(folder), str(port)), port)
    root = f"ftp://127.0.0.1:{port}/jobs"

    def options(user: str, password: str) -> Options:
        return {"ftp": {"username": user, "password": password}}

    def end() -> None:
        stop()
        shutil.rmtree(folder, ignore_errors=True)

    return Store(
        "ftp",
        root,
        options("writer", "writer-password"),
        command="python -m pyftpdlib -i 127.0.0.1 -p PORT -d FOLDER -u USER -P PASSWORD -w",
        denied=(root, options("reader", "reader-password")),
        wrong=(root, options("writer", "wrong-password")),
        not_applicable={"missing_bucket": "no buckets"},
        fill=lambda below, count: _fill_disk(
            folder / "jobs" / below[len(root) :].strip("/"), count
        ),
        stop=end,
    )


# name -> what starts it; the contract's own are these but the last
START: dict[str, Callable[[], Store]] = {
    "local": start_local,
    "memory": start_memory,
    "s3": start_s3,
    "azure": start_azure,
    "gcs": start_gcs,
    "sftp": start_sftp,
    "webdav": start_webdav,
    "ftp": start_ftp,
    "s3 with permissions": start_s3_with_permissions,
}


def zip_of(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
