"""What all engines have in common: settings, Beam's options, and how mistakes are said."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from alphabeam.pipelines.engines.beam_options import arguments_of, known_options
from alphabeam.pipelines.section import Section
from alphabeam.transforms import storage
from alphabeam.transforms.secret_refs import (
    ReferredText,
    inline_secrets,
    is_secret_name,
    references,
)

if TYPE_CHECKING:
    from alphabeam.pipelines.engines.code import Code
    from alphabeam.pipelines.job import Job

__all__ = [
    "Engine",
    "EngineError",
    "Mistake",
    "RemoteEngine",
    "RemoteJob",
    "Threads",
    "local_model",
    "slug",
]

_DIGITS = re.compile(r"[^a-z0-9]+")


class EngineError(Exception):
    """An engine cannot be used; the message is one line that says why and what to do."""


class Threads(NamedTuple):
    """Threads per process; 0 for as many as the process has cores, wherever it runs.

    Attributes:
        matting: For the network and the matting.
        encoding: For encoding and writing.
    """

    matting: int
    encoding: int


class Mistake(NamedTuple):
    """Something in the job file that cannot work with its engine.

    Attributes:
        location: Where it stands: the keys that lead to it.
        message: What is wrong, and what to do.
    """

    location: tuple[str, ...]
    message: str


class RemoteJob:
    """A submitted job, as its service tells of it.

    Attributes:
        id: The service's name for it.
    """

    id: str

    def state(self) -> str:
        """One of Beam's ``PipelineState``, such as ``RUNNING``, ``DONE`` or ``FAILED``."""
        raise NotImplementedError

    def numbers(self) -> dict[str, Any]:
        """The job's metrics so far, as `alphabeam.transforms.metrics.read_metrics` gives them."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Asks the service to end the job; it takes a while."""
        raise NotImplementedError

    def reason(self) -> str:
        """Why a job failed, as its service says it; may have many lines."""
        raise NotImplementedError


class Engine(Section):
    """Where a job runs. A subclass is one section of the job file, and knows how to use it."""

    remote: ClassVar[bool]

    kind: str
    """Which engine."""

    threads: int = Field(0, ge=0, le=256)
    """Images matted at once per process; 0 for as many as the process has cores."""

    pixels_in_flight: int = Field(64_000_000, ge=1_000_000)
    """Bounds memory: most decoded pixels at work per process. 64 million take about 2 GB."""

    def threads_of(self, job: Job) -> Threads:
        """How many threads each process uses."""
        return Threads(self.threads, self.threads)

    def beam_options(self, job: Job, code: Code | None) -> dict[str, Any]:
        """Beam's options for the job, by name; without what ``options`` and ``--`` say.

        Args:
            job: The job.
            code: What is staged for the workers; None where nothing is.
        """
        raise NotImplementedError

    def arguments(self, job: Job, code: Code | None = None) -> list[str]:
        """Beam's options for the job, as on a command line."""
        return arguments_of(self.beam_options(job, code))

    def mistakes(self, job: Job) -> Iterator[Mistake]:
        """What of the job file cannot work with this engine, as far as reading it tells."""
        yield from ()

    def probe(self, job: Job) -> None:
        """Tries what the engine needs, such as its staging folder.

        Raises:
            EngineError: Something is not there, or refused.
        """

    def launcher_waits(self) -> bool:
        """Whether the launcher sees the job's end."""
        return True

    def lines(self, job: Job) -> Iterator[str]:
        """What ``--check`` says of the engine."""
        raise NotImplementedError

    def images_at_once(self, job: Job) -> float:
        """How many images are matted at one time, for an estimate; at the most."""
        raise NotImplementedError

    def dollars_per_hour(self) -> float | None:
        """What the engine's machines cost an hour, for an estimate; None where that is unknown."""
        return None


class RemoteEngine(Engine):
    """An engine whose workers are not this process and may be on other machines."""

    remote = True

    wait: bool = True
    """Wait for the job's end, and show its progress. With `false` the launcher ends once the job is
    submitted; `--status`, `--wait` and `--cancel` find it again."""

    options: dict[str, Any] = {}
    """Whatever else Beam's options can say, by their names without dashes; these win over all
    other settings. Lists are added to what alphabeam gives."""

    def launcher_waits(self) -> bool:
        """See `Engine.launcher_waits`."""
        return self.wait

    def sees(self, path: str) -> bool:
        """Whether all workers see a local path."""
        return False

    def gives_environment(self) -> bool:
        """Whether the workers' environment is the user's own, with variables and files in it."""
        return False

    def brought(self, job: Job, folder: Path) -> tuple[Job, Code | None]:
        """Brings to the workers what they lack.

        Args:
            job: The job.
            folder: An empty folder of this machine, from which the job will be submitted.

        Returns:
            The job as the workers see it, and what they are to install.
        """
        return job, None

    def keeps_running(self) -> bool:
        """Whether a job goes on when its launcher ends."""
        return True

    def tells_of_workers(self) -> bool:
        """Whether the service itself says when no worker starts."""
        return True

    def record(self, job: Job) -> dict[str, Any]:
        """What a later process needs to find the service that runs the job, for `attach`."""
        raise NotImplementedError

    def submitted(self, result: Any) -> RemoteJob:
        """The job that ``Pipeline.run`` has submitted."""
        raise NotImplementedError

    def attach(self, record: Mapping[str, Any]) -> RemoteJob:
        """Finds a submitted job again.

        Args:
            record: What `record` gave, and the job's ``id``.

        Raises:
            EngineError: The service or the job is not there.
        """
        raise NotImplementedError

    def merged(self, ours: dict[str, Any]) -> dict[str, Any]:
        """Our options for Beam, with the user's, which win."""
        merged = dict(ours)
        for name, value in self.options.items():
            before = merged.get(name)
            if isinstance(before, list) and isinstance(value, list):
                merged[name] = [*before, *value]
            else:
                merged[name] = value
        return merged

    def mistakes(self, job: Job) -> Iterator[Mistake]:
        """See `Engine.mistakes`."""
        yield from self._wrong_options()
        yield from self._local_places(job)
        if not self.gives_environment():
            yield from self._unreachable_secrets(job)

    def _wrong_options(self) -> Iterator[Mistake]:
        known = known_options()
        for name, value in self.options.items():
            where = ("engine", "options", name)
            if name == "runner":
                yield Mistake(where, "engine.kind says which runner it is; leave this out")
            elif is_secret_name(name, certain=True) or inline_secrets({name: value}):
                yield Mistake(
                    where, "a secret; whoever sees the job sees its options, so none may hold one"
                )
            elif name not in known:
                close = difflib.get_close_matches(name, known, 1, 0.75)
                if close:
                    yield Mistake(where, f"Beam has no such option (did you mean '{close[0]}'?)")
                elif not self.takes_unknown_options():
                    yield Mistake(where, "Beam has no such option; check its name")

    def takes_unknown_options(self) -> bool:
        """Whether a job server has options of its own, which are not known here."""
        return False

    def _local_places(self, job: Job) -> Iterator[Mistake]:
        places: dict[tuple[str, ...], str] = {("input", "manifest"): job.input.manifest}
        places["output", "directory"] = job.output.directory
        if self.model_must_be_reachable() and (model := local_model(job)):
            places[(*job.place_of("local"), "model")] = model
        for location, place in places.items():
            if storage.is_local(place) and not self.sees(place):
                yield Mistake(location, self.unseen(storage.redact(place)))

    def model_must_be_reachable(self) -> bool:
        """Whether a model file of this machine is not brought to the workers."""
        return True

    def unseen(self, place: str) -> str:
        """What is wrong with a path that the workers do not see."""
        return f"{place} is on this machine, and the workers of engine {self.kind} do not see it"

    def _unreachable_secrets(self, job: Job) -> Iterator[Mistake]:
        for location, value in secrets_of(job):
            for reference in references(value):
                if reference.startswith(("${env:", "${file:")):
                    yield Mistake(
                        location,
                        f"{reference} is resolved on the workers, which have neither this "
                        "machine's variables nor its files; give ${gcp-secret:projects/PROJECT/"
                        "secrets/NAME/versions/latest}, or an engine.image that provides it",
                    )


def local_model(job: Job) -> str | None:
    """The path of the job's model, if it is a file of this machine."""
    model = "" if job.local_backend is None else job.local_backend.model
    if isinstance(model, ReferredText) or "/" not in model or not storage.is_local(model):
        return None
    return str(model)


def secrets_of(job: Job) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Where the job refers to secrets, and the values with the references in them."""
    for protocol, options in job.storage.items():
        for name, value in options.items():
            yield ("storage", protocol, name), value
    if job.api is not None:
        for name in ("public_key", "private_key"):
            yield (*job.place_of("picpik"), name), getattr(job.api, name)
    model = "" if job.local_backend is None else job.local_backend.model
    for location, text in (
        (("input", "manifest"), job.input.manifest),
        ((*job.place_of("local"), "model"), model),
        (("notify",), "" if job.engine.launcher_waits() else job.notify),
    ):
        if isinstance(text, ReferredText):
            yield location, text.reference


def slug(text: str, longest: int = 63) -> str:
    """A text as a cloud takes it for a name: lower-case letters, digits and dashes.

    >>> slug("Shoes, summer 2026")
    'shoes-summer-2026'
    """
    return _DIGITS.sub("-", text.lower())[:longest].strip("-")
