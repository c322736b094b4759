"""`Output`: where everything of a job's output lies, and in which store.

Every step that reads or writes the output is given the same `Output`, so no argument of one step
has to agree with another's. No other module knows a path of the output::

    cutouts/ID.png                 cutouts, straight alpha
    masks/ID.png                   masks, 8-bit grey
    renditions/NAME/ID.jpg         renditions, in folders and by names that the job gives
    index/KIND-00000.csv           what was written, for a shop system's import
    metadata/RUN/part-00000.parquet, _SUCCESS
    summary.json                   counts, errors, pace, versions
    failures.jsonl                 the failed rows: a manifest that can be run again
    orphaned.jsonl                 finished rows that the manifest does not have any more
    report/index.html, …           the report: a site that needs no server
    report/thumbs/NAME.js          thumbnails, a few dozen in each
    ledger/rows/RUN/*.parquet      rows that a run under way has finished
    ledger/earlier/RUN-*.parquet   finished rows that the last manifest did not have
    ledger/keys/RUN/               the index of all finished rows
    ledger/tasks/FINGERPRINT.json  tasks of the API; FINGERPRINT.2.json is the second attempt
    ledger/thumbs/NAME.json        which thumbnail is in which of these
    ledger/budget/RUN/             what the processes of a run share: its budget, its pace
    ledger/lease/NUMBER.json       who is writing to the output
    ledger/job.json                the last job on other machines, and where its service is
    ledger/working/NAME.json       which images a process is computing on
    ledger/kept/SHA256             outputs that were written over, and that a row may still need
    run/RUN/                       what only the run under way needs
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, Literal

from alphabeam.transforms import storage
from alphabeam.transforms.manifest.names import file_name

__all__ = ["FOLDERS", "CutoutFormat", "Output"]

CutoutFormat = Literal["png", "webp"]

# What lies in an output's folder.
FOLDERS = ("cutouts", "masks", "renditions", "index", "metadata", "report", "ledger", "run")


@dataclass(frozen=True)
class Output:
    """A job's output: a folder of any store.

    Methods that give a name (`cutout`, `mask`) give what the metadata holds: a name relative to
    ``directory``. All others give a URI.

    Attributes:
        directory: Path or fsspec URL of the folder; a relative path is made absolute.
        storage: Options for fsspec, by protocol.
        cutout_format: ``png``, or lossless ``webp``.
        source_metadata: ``keep``: cutouts bear the EXIF and XMP of their sources, made neutral; or
            ``drop``.
        names: ``safe``: files are named in ASCII letters, digits, ``.``, ``_`` and ``-``;
            ``keep`` leaves letters of every script and spaces.
    """

    directory: str
    storage: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    cutout_format: CutoutFormat = "png"
    source_metadata: Literal["keep", "drop"] = "keep"
    names: Literal["safe", "keep"] = "safe"

    def __post_init__(self) -> None:
        if self.cutout_format not in ("png", "webp"):
            raise ValueError(f"cutout_format: {self.cutout_format!r} is not one of png, webp")
        if self.source_metadata not in ("keep", "drop"):
            raise ValueError(f"source_metadata: {self.source_metadata!r} is not one of keep, drop")
        if self.names not in ("safe", "keep"):
            raise ValueError(f"names: {self.names!r} is not one of safe, keep")
        # A commit finds by their URIs what it has written; see storage.normalized.
        object.__setattr__(self, "directory", storage.normalized(self.directory))

    @classmethod
    def of(cls, output: Output | str) -> Output:
        """The output itself, or one with the defaults in a folder."""
        return cls(output) if isinstance(output, str) else output

    # -- names relative to the folder

    def cutout(self, id: str) -> str:
        """Name of an id's cutout."""
        return f"cutouts/{self._file_name(id)}.{self.cutout_format}"

    def mask(self, id: str) -> str:
        """Name of an id's mask."""
        return f"masks/{self._file_name(id)}.png"

    def _file_name(self, id: str) -> str:
        return file_name(id, keep=self.names == "keep")

    # -- URIs

    def uri(self, name: str) -> str:
        """URI of a name relative to the folder."""
        return storage.join(self.directory, *name.split("/"))

    def name_of(self, uri: str) -> str:
        """The inverse of `uri`, for an object below the folder."""
        return uri.removeprefix(self.uri("x").removesuffix("x"))

    @property
    def summary(self) -> str:
        """The summary of the last run."""
        return self.uri("summary.json")

    @property
    def failures(self) -> str:
        """The failed rows of the last run."""
        return self.uri("failures.jsonl")

    @property
    def orphaned(self) -> str:
        """The finished rows that the last run's manifest did not have."""
        return self.uri("orphaned.jsonl")

    def report(self, name: str = "index.html") -> str:
        """A file of the report."""
        return self.uri(f"report/{name}")

    def thumbnails(self, name: str) -> str:
        """A shard of the report's thumbnails."""
        return self.report(f"thumbs/{name}.js")

    def thumbnail_list(self, name: str) -> str:
        """Which thumbnails some shards hold."""
        return self.uri(f"ledger/thumbs/{name}.json")

    def thumbnail_table(self, name: str, number: int) -> str:
        """A part of what all shards hold."""
        return self.uri(f"ledger/thumbs/{name}-{number:05d}.parquet")

    def index(self, kind: str, number: int) -> str:
        """A part of the index for a shop system's import."""
        return self.uri(f"index/{kind}-{number:05d}.csv")

    def metadata(self, run_id: str) -> str:
        """Folder of a run's metadata."""
        return self.uri(f"metadata/{run_id}")

    def part(self, run_id: str, number: int, more: int = 0) -> str:
        """A part of a run's metadata; or the second, third … file of one that is large."""
        return self.uri(f"metadata/{run_id}/part-{number:05d}{f'-{more}' if more else ''}.parquet")

    def marker(self, run_id: str) -> str:
        """What says that a run's metadata is whole."""
        return self.uri(f"metadata/{run_id}/_SUCCESS")

    def group(self, run_id: str, name: str) -> str:
        """A group of rows that a run under way has finished."""
        return self.uri(f"ledger/rows/{run_id}/{name}.parquet")

    def earlier(self, run_id: str, number: int) -> str:
        """Finished rows, carried over by a run whose manifest does not have them."""
        return f"{self.earlier_of(run_id)}{number:05d}.parquet"

    def earlier_of(self, run_id: str) -> str:
        """What the URIs of all rows that a run has carried over begin with."""
        return self.uri(f"ledger/earlier/{run_id}-")

    def keys(self, run_id: str, name: str) -> str:
        """A piece of the index of all rows that are finished once a run is whole."""
        return self.uri(f"ledger/keys/{run_id}/{name}")

    def lease(self, number: int) -> str:
        """A lease on the output."""
        return self.uri(f"ledger/lease/{number:06d}.json")

    @property
    def job(self) -> str:
        """The last job that was submitted to other machines."""
        return self.uri("ledger/job.json")

    def survey(self, run_id: str) -> str:
        """What a run's survey found in the manifest."""
        return self.uri(f"run/{run_id}/survey.json")

    def passing(self, run_id: str, name: str) -> str:
        """A group of rows that a run under way has not finished itself: failed or known before."""
        return self.uri(f"run/{run_id}/{name}.parquet")

    def of_part(self, run_id: str, number: int, name: str) -> str:
        """What the commit has to know of a part of a run's metadata."""
        return self.uri(f"run/{run_id}/parts/{number:05d}.{name}")

    def task(self, fingerprint: str, attempt: int = 1) -> str:
        """What is known of an attempt to buy the API's task for a fingerprint."""
        return self.uri(f"ledger/tasks/{fingerprint}{f'.{attempt}' if attempt > 1 else ''}.json")

    def shared(self, run: str, name: str) -> str:
        """Folder of something that the processes of a run share."""
        return self.uri(f"ledger/budget/{run}/{name}")

    def kept(self, sha256: str) -> str:
        """An output that was written over, by its content."""
        return self.uri(f"ledger/kept/{sha256}")

    def mark(self, name: str) -> str:
        """What a process is computing on."""
        return self.uri(f"ledger/working/{name}.json")

    def kept_files(self) -> list[str]:
        """Every object under ``ledger/kept/``."""
        return self.list("ledger/kept")

    def mark_files(self) -> list[str]:
        """Every object under ``ledger/working/``."""
        return self.list("ledger/working")

    def lease_files(self) -> list[str]:
        """Every object under ``ledger/lease/``."""
        return self.list("ledger/lease")

    def committed_files(self) -> list[str]:
        """Every object under ``metadata/``, the markers included."""
        return self.list("metadata")

    def group_files(self) -> list[str]:
        """Every object under ``ledger/rows/``."""
        return self.list("ledger/rows")

    def earlier_files(self) -> list[str]:
        """Every object under ``ledger/earlier/``."""
        return self.list("ledger/earlier")

    def key_files(self) -> list[str]:
        """Every object under ``ledger/keys/``."""
        return self.list("ledger/keys")

    def thumbnail_shards(self) -> list[str]:
        """Every object under ``report/thumbs/``."""
        return self.list("report/thumbs")

    def thumbnail_lists(self) -> list[str]:
        """Every object under ``ledger/thumbs/``."""
        return self.list("ledger/thumbs")

    def task_files(self) -> dict[str, list[str]]:
        """URIs of the entries under ``ledger/tasks/``, by fingerprint."""
        found: dict[str, list[str]] = {}
        for uri in self.list("ledger/tasks"):
            found.setdefault(uri.rsplit("/", 1)[-1].partition(".")[0], []).append(uri)
        return found

    def shared_files(self) -> Iterator[tuple[str, str]]:
        """Run and URI of every object that the processes of a run have shared."""
        folder = self.uri("ledger/budget")
        for uri in self.list("ledger/budget"):
            yield uri.removeprefix(folder).lstrip("/").partition("/")[0], uri

    # -- touching the store

    def list(self, name: str) -> list[str]:
        """All objects below a folder of the output, sorted; none if it does not exist."""
        return storage.list(self.uri(name), options=self.storage)

    def sizes(self, name: str) -> dict[str, int]:
        """Bytes of all objects below a folder of the output, by URI, sorted."""
        found = storage.entries(self.uri(name) + "/", options=self.storage)
        return {one.uri: one.size for one in found}

    def read(self, uri: str) -> bytes:
        """Reads an object."""
        return storage.read(uri, options=self.storage)

    def read_mapped(self, uri: str) -> mmap | bytes:
        """An object's bytes, mapped into memory."""
        return storage.read_mapped(uri, options=self.storage)

    def read_many(self, uris: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Reads many objects at once, in order; raises at the first that cannot be read."""
        for uri, data in storage.read_many(uris, options=self.storage):
            if isinstance(data, Exception):
                raise data
            yield uri, data

    def put(self, uri: str, data: bytes) -> None:
        """Writes an object, whole or not at all."""
        storage.put(uri, data, options=self.storage)

    def create(self, uri: str, data: bytes) -> bool:
        """Writes an object unless it is there; returns whether this call made it."""
        return storage.create(uri, data, options=self.storage)

    def size(self, uri: str) -> int | None:
        """Bytes of an object, if the store tells."""
        return storage.stat(uri, options=self.storage).size

    def size_of(self, name: str) -> int | None:
        """Likewise, by the name relative to the folder that the metadata holds."""
        return storage.size_below(self.directory, name, options=self.storage)

    def exists(self, uri: str) -> bool:
        """Whether an object is there."""
        return storage.exists(uri, options=self.storage)

    def remove(self, name: str) -> None:
        """Removes a folder of the output and all that is in it."""
        self.delete(self.list(name))
        storage.remove_folders(self.uri(name), options=self.storage)

    def remove_empty(self, name: str) -> None:
        """Removes a folder of the output if nothing is in it."""
        storage.remove_empty_folder(self.uri(name), options=self.storage)

    def delete(self, uris: Iterable[str]) -> None:
        """Deletes objects; one that is not there is no error."""
        storage.delete(uris, options=self.storage)
