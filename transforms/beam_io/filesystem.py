"""Beam's own IO on every fsspec store: ``ReadFromText("fsspec+s3://bucket/*.csv")``.

Importing this module gives Beam the schemes ``fsspec+PROTOCOL`` for all protocols that fsspec
knows. ``register("sftp")`` adds the plain ``sftp://``, and with ``take_over=True`` the schemes
that Beam has file systems of its own for (``s3``, ``gs``, ``azfs``, ``hdfs``).

Workers have to import this module too. Either name it in the pipeline's options,
``--beam_plugin=alphabeam.transforms.beam_io`` (worker pools that are started by
hand do not look there), or give Beam ``beam_path(uri)`` instead of the bare text: unpickling that
on a worker imports this module, and brings along what was registered.

Not for: images (``WriteToFiles`` and shards are no way to write ten million named objects; see
``alphabeam.transforms.storage.put``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, cast

from apache_beam.io.filesystem import (
    BeamIOError,
    CompressedFile,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)
from apache_beam.options.pipeline_options import PipelineOptions
from fsspec.registry import available_protocols

from alphabeam.transforms import secret_refs, storage
from alphabeam.transforms.beam_io.output import Output
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage import StorageOptions
from alphabeam.transforms.storage.copying import copy, move
from alphabeam.transforms.storage.deleting import remove_folders
from alphabeam.transforms.storage.info import Entry, entry
from alphabeam.transforms.storage.listing import entries
from alphabeam.transforms.storage.uris import ALIAS_PREFIX, is_local, join
from alphabeam.transforms.storage.writing import make_folder

__all__ = ["FsspecOptions", "FsspecPath", "beam_path", "register"]

# Beam's names for stores whose fsspec protocol is called otherwise
_BEAM_SCHEMES = {"azfs": "abfs"}


class FsspecOptions(PipelineOptions):
    """Pipeline options: what fsspec needs to reach the stores."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument(
            "--fsspec_options",
            type=json.loads,
            default=None,
            help='Options per protocol as JSON: {"s3": {"endpoint_url": "…", '
            '"secret": "${env:S3_SECRET}"}}. Secrets are references, resolved on the worker.',
        )


class _Registration:
    """What has been registered in this process: to be repeated wherever a path is unpickled."""

    def __init__(self) -> None:
        self.options: dict[str, dict[str, Any]] = {}  # references, not secrets
        self.plain: set[str] = set()
        self.taken: set[str] = set()
        self.classes: dict[str, type[FileSystem]] = {}


_registered = _Registration()


def _options(pipeline_options: Any) -> StorageOptions:
    """What was registered, and what the pipeline's options give; secrets are references still."""
    given: dict[str, Any] = {}
    if isinstance(pipeline_options, PipelineOptions):
        given = pipeline_options.view_as(FsspecOptions).fsspec_options or {}
    elif isinstance(pipeline_options, Mapping):  # a worker's, not yet parsed
        raw = pipeline_options.get("fsspec_options") or {}
        given = json.loads(raw) if isinstance(raw, str) else dict(raw)
    return cast(StorageOptions, {**given, **_registered.options})


def _translate(verb: str, paths: Iterable[Any], action: Callable[[Any], Any]) -> list[Any]:
    """Does something to each path; Beam wants the failures together, by path."""
    done, failed = [], {}
    for path in paths:
        try:
            done.append(action(path))
        except RowError as error:
            failed[path] = error
    if failed:
        raise BeamIOError(f"{verb} failed", failed)
    return done


class _FsspecFileSystem(FileSystem):
    """Beam's file system interface on our storage; subclasses give the scheme."""

    SCHEME = "fsspec"

    def __init__(self, pipeline_options: Any) -> None:
        super().__init__(pipeline_options)
        self._given = pipeline_options

    @classmethod
    def scheme(cls) -> str:
        """The scheme that Beam asks this class for."""
        return cls.SCHEME

    @property
    def _options(self) -> StorageOptions:
        return _options(self._given)

    def _uri(self, path: str) -> str:
        """The URI that this package knows for a Beam path."""
        scheme, separator, rest = str.partition(path, "://")
        protocol = scheme.removeprefix(ALIAS_PREFIX)
        return f"{_BEAM_SCHEMES.get(protocol, protocol)}{separator}{rest}"

    def _path(self, uri: str, like: str) -> FsspecPath:
        """The Beam path of a URI, under the scheme of another path."""
        scheme = str.partition(like, "://")[0]
        return FsspecPath(f"{scheme}://{uri.partition('://')[2]}")

    # ---- names

    def join(self, basepath: str, *paths: str) -> str:
        """Joins names to a folder."""
        return FsspecPath(join(self._uri(basepath), *paths)).under(basepath)

    def split(self, path: str) -> tuple[str, str]:
        """Splits a path into its folder and its last name."""
        scheme, _, rest = str.partition(path, "://")
        if "/" not in rest.rstrip("/"):
            return path, ""
        head, _, tail = rest.rpartition("/")
        return FsspecPath(f"{scheme}://{head}"), tail

    def has_dirs(self) -> bool:
        """False: a listing takes any prefix, whatever the store."""
        return False

    def mkdirs(self, path: str) -> None:
        """Makes a folder, where stores have them."""

        def make(one: str) -> None:
            uri = self._uri(one)
            make_folder(uri, options=self._options)

        _translate("Mkdirs", [path], make)

    # ---- looking

    def _metadata(self, found: Entry, like: str) -> FileMetadata:
        return FileMetadata(self._path(found.uri, like), found.size, found.changed)

    def _list(self, dir_or_prefix: str) -> Any:
        def listed(path: str) -> list[Entry]:
            uri = self._uri(path)
            return entries(uri, options=self._options)

        (found,) = _translate("List", [dir_or_prefix], listed)
        return [self._metadata(one, dir_or_prefix) for one in found]

    def _entry(self, path: str, verb: str) -> Entry:
        def looked(one: str) -> Entry:
            uri = self._uri(one)
            return entry(uri, options=self._options)

        return cast(Entry, _translate(verb, [path], looked)[0])

    def exists(self, path: str) -> bool:
        """Whether there is an object or a folder of that name."""

        def looked(one: str) -> bool:
            uri = self._uri(one)
            return storage.exists(uri, options=self._options)

        return bool(_translate("Exists", [path], looked)[0])

    def size(self, path: str) -> int:
        """Bytes of an object."""
        return self._entry(path, "Size").size

    def last_updated(self, path: str) -> float:
        """Unix time of an object's last change."""
        return self._entry(path, "Last updated").changed

    def checksum(self, path: str) -> str:
        """The size: what copies of one object have in common in every store."""
        return str(self.size(path))

    def metadata(self, path: str) -> FileMetadata:
        """Path, size and time of change of an object."""
        return self._metadata(self._entry(path, "Metadata"), path)

    # ---- reading and writing

    def open(
        self,
        path: str,
        mime_type: str = "application/octet-stream",
        compression_type: str = CompressionTypes.AUTO,
    ) -> BinaryIO:
        """Opens an object for reading."""

        def opened(one: str) -> BinaryIO:
            uri = self._uri(one)
            return storage.open_input(uri, options=self._options)

        raw = _translate("Open", [path], opened)[0]
        return self._compressed(path, raw, compression_type)

    def create(
        self,
        path: str,
        mime_type: str = "application/octet-stream",
        compression_type: str = CompressionTypes.AUTO,
    ) -> BinaryIO:
        """Opens an object for writing; it comes into being, whole, when it is closed."""

        def created(one: str) -> Output:
            uri = self._uri(one)
            return Output(uri, self._options)

        raw = _translate("Create", [path], created)[0]
        return self._compressed(path, raw, compression_type)

    def _compressed(self, path: str, raw: Any, compression_type: str) -> BinaryIO:
        kind = FileSystem._get_compression_type(path, compression_type)
        if kind == CompressionTypes.UNCOMPRESSED:
            return cast(BinaryIO, raw)
        return cast(BinaryIO, CompressedFile(raw, compression_type=kind))

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        """Copies objects, or all that lies below folders."""
        self._pairs("Copy", copy, source_file_names, destination_file_names)

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        """Renames objects, or all that lies below folders."""
        self._pairs("Rename", move, source_file_names, destination_file_names)

    def _pairs(self, verb: str, action: Any, sources: list[str], targets: list[str]) -> None:
        if len(sources) != len(targets):
            raise BeamIOError(f"{verb} needs as many sources as destinations")

        def one(pair: tuple[str, str]) -> None:
            source, target = self._uri(pair[0]), self._uri(pair[1])
            options = self._options
            try:
                action(source, target, options=options)
            except RowError as error:
                below = [] if error.code is not ErrorCode.NOT_FOUND else self._below(source)
                if not below:
                    raise
                for uri in below:
                    name = uri[len(source.rstrip("/")) + 1 :]
                    action(uri, join(target, name), options=options)

        _translate(verb, zip(sources, targets, strict=True), one)

    def _below(self, uri: str) -> list[str]:
        return storage.list(uri, options=self._options)

    def delete(self, paths: list[str]) -> None:
        """Deletes objects, and all that lies below folders."""

        def one(path: str) -> None:
            uri = self._uri(path)
            options = self._options
            below = self._below(uri)
            if not below:
                storage.delete([uri], options=options)
                return
            storage.delete(below, options=options)
            remove_folders(uri, options=options)

        _translate("Delete", paths, one)


class FsspecPath(str):
    """A path that makes every worker it comes to able to open it.

    It is a plain ``str`` to Beam's IO. Pickled, it brings along what was registered (options with
    their references, never a secret), and unpickling it registers the same there.
    """

    __slots__ = ()

    def __str__(self) -> str:
        # Beam wraps paths as StaticValueProvider(str, path), which would make a bare one of it
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        state = (_registered.options, sorted(_registered.plain), sorted(_registered.taken))
        return _revive, (str.__str__(self), *state)

    def under(self, like: str) -> FsspecPath:
        """The same path under the scheme of another one."""
        scheme = str.partition(like, "://")[0]
        return FsspecPath(f"{scheme}://{str.partition(self, '://')[2]}")


def _revive(
    text: str, options: dict[str, dict[str, Any]], plain: list[str], taken: list[str]
) -> FsspecPath:
    for protocol in plain:
        register(protocol, take_over=protocol in taken)
    for protocol, given in options.items():
        _registered.options.setdefault(protocol, given)
    return FsspecPath(text)


def beam_path(uri: str) -> FsspecPath:
    """A URI for Beam's IO that also works on workers that have not imported this module.

    Raises:
        RowError: INVALID_URI for a local path, which Beam opens by itself.
    """
    if is_local(uri) and "://" not in uri:
        raise RowError(ErrorCode.INVALID_URI, f"{uri} is a local path; give it to Beam as it is")
    return FsspecPath(uri)


def _define(scheme: str) -> None:
    if scheme in _registered.classes:
        return
    name = "Fsspec" + "".join(part.title() for part in scheme.replace("+", "_").split("_"))
    _registered.classes[scheme] = cast(
        "type[FileSystem]",
        type(name, (_FsspecFileSystem,), {"SCHEME": scheme, "__module__": __name__}),
    )


def _owners(scheme: str) -> list[type[FileSystem]]:
    return [
        cls
        for cls in FileSystem.get_all_subclasses()
        if not issubclass(cls, _FsspecFileSystem) and cls.scheme() == scheme
    ]


def register(
    *protocols: str, options: StorageOptions | None = None, take_over: bool = False
) -> None:
    """Makes Beam's IO understand fsspec's protocols, in this process and where its paths go.

    ``fsspec+s3://bucket/name`` works after any call. The plain ``s3://`` is added as well, unless
    Beam has a file system of its own for it.

    Args:
        *protocols: fsspec's (``s3``, ``abfs``, ``sftp`` …) or Beam's (``azfs``) names.
        options: Options per protocol; secrets in them as references (``${env:S3_SECRET}``), which
            are resolved on the worker.
        take_over: Take the plain scheme from Beam's own file system, for this process.

    Raises:
        RowError: INVALID_URI for an unknown protocol; INVALID_PARAMETER for a secret that is no
            reference.
    """
    known = {*available_protocols(), *_BEAM_SCHEMES}
    for protocol in protocols:
        if protocol not in known:
            raise RowError(
                ErrorCode.INVALID_URI, f"fsspec knows no protocol {protocol!r}; check its name"
            )
    for path in secret_refs.inline_secrets(options or {}):
        raise RowError(
            ErrorCode.INVALID_PARAMETER,
            f"the option {'.'.join(path)} is a secret in clear; give a reference, "
            "${env:NAME} or ${file:PATH}, which is resolved on the worker",
        )
    for protocol, given in (options or {}).items():
        _registered.options[protocol] = dict(given)
    for protocol in protocols:
        _registered.plain.add(protocol)
        _define(ALIAS_PREFIX + protocol)
        owners = _owners(protocol)
        if take_over:
            _registered.taken.add(protocol)
            for owner in owners:
                owner.scheme = classmethod(lambda cls, own=f"beam+{protocol}": own)
        elif owners:
            continue
        _define(protocol)


def _define_aliases() -> None:
    for protocol in (*available_protocols(), *_BEAM_SCHEMES):
        _define(ALIAS_PREFIX + protocol)


_define_aliases()
