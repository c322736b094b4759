"""Images that end the process that works on them: found, tried again twice, then given up.

An image may use up the memory, or hit a fault in a decoder. Nothing can be caught then: the
process is gone, and the next run would come to the same image and be gone as well. So each process
keeps a *mark*, a small object that says which images it is computing on. A mark that is still
there when its process is not says which images may have been the reason.

Ordinarily a mark is written every two seconds, which costs next to nothing, and may miss what came
just before the end. Once there are marks of processes that are gone, each image is marked before
it is worked on, and those that have been in such a mark are worked on one at a time, so that the
one at fault is not confused with those beside it. An image is given up, as ``crashed``, if its
process ended three times: two of them seen, the third seen or possibly missed. The end of a
process that somebody killed does not count, where that can be told; see
`alphabeam.transforms.witness`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apache_beam.utils.shared import Shared

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.output import Output
from alphabeam.transforms.pool import Stage
from alphabeam.transforms.rows import PENDING, Picture
from alphabeam.transforms.witness import forget_witness, was_killed, witness

__all__ = ["Marks", "OpenMarks", "forget_marks", "remove_marks", "waiting", "working"]

_logger = logging.getLogger(__name__)

_WRITE_S = 2.0
_LOOK_S = 30.0  # a mark of this run that is the same for so long is of a process that is gone
_ENDS = 3  # ends of a process after which an image is given up
_SEEN = 2  # of these, in how many it must have been marked
_TURN_S = 600.0  # a suspect's turn that lasts longer is of a process that is gone
_POLL_S = 0.2
_GIVEN_UP = "given-up"  # names of objects beside the marks
_TURN = "turn"


@dataclass(frozen=True)
class Marks:
    """A run's marks; each process that asks for them opens its own.

    Attributes:
        output: The job's output.
        run_id: The run.
        heed: Whether images are given up; otherwise they are marked only.
    """

    output: Output
    run_id: str
    heed: bool = True
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def open(self) -> OpenMarks:
        """This process's marks."""
        marks: OpenMarks = self._shared.acquire(
            lambda: OpenMarks(self.output, self.run_id, self.heed)
        )
        return marks

    def watch(self, first: Stage, last: Stage) -> tuple[Stage, Stage]:
        """Two stages of one chain, so that what they and those between them work on is marked."""
        return (
            replace(first, open=_Begin(self, first.open)),
            replace(last, open=_End(last.open)),
        )


@dataclass(frozen=True)
class _Begin:
    marks: Marks
    inner: Callable[[], Callable[[Picture], Picture]]

    def __call__(self) -> Callable[[Picture], Picture]:
        marks, inner = self.marks.open(), self.inner()

        def work(picture: Picture) -> Picture:
            row = picture.row
            if row.status != PENDING or not row.source_sha256:
                return inner(picture)
            try:
                _enter(marks, row.source_sha256)
            except RowError as error:
                return Picture(row.failed("remove", error), limits=picture.limits)
            return inner(picture)

        return work


@dataclass(frozen=True)
class _End:
    inner: Callable[[], Callable[[Picture], Any]]

    def __call__(self) -> Callable[[Picture], Any]:
        inner = self.inner()

        def work(picture: Picture) -> Any:
            try:
                done = inner(picture)
                if _here.marks is not None:
                    _here.marks.clear(_here.key)
                return done
            finally:
                _leave()

        return work


class OpenMarks:
    """The marks of one process.

    Args:
        output: The job's output.
        run_id: The run.
        heed: Whether images are given up.
    """

    def __init__(self, output: Output, run_id: str, heed: bool = True) -> None:
        self._output = output
        self._run_id = run_id
        self._heed = heed
        self._uri = output.mark(f"{run_id}-{secrets.token_hex(8)}")
        self._turn_uri = output.mark(_TURN)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._turn = threading.Lock()
        self._clearing = threading.Lock()
        self._active: Counter[str] = Counter()
        self._in_turn: set[str] = set()
        self._changes = 0
        self._written = -1
        self._timer: threading.Timer | None = None
        self._others: dict[str, _Mark] = {}
        self._dead: dict[str, _Mark] = {}
        self._ends = _Ends([])
        self._look()
        watcher = threading.Thread(target=_watch, args=(weakref.ref(self),), daemon=True)
        watcher.start()

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Marks an image while the ``with`` lasts; see `begin`."""
        self.begin(key)
        try:
            yield
        finally:
            self.end(key)

    def begin(self, key: str) -> None:
        """Marks an image before it is worked on; a suspect waits until it is its turn.

        Raises:
            RowError: ``crashed``: its process has ended too often.
        """
        ends = self._ends
        if self._heed and ends.too_many(key):
            raise RowError(
                ErrorCode.CRASHED,
                f"the process ended {ends.most(key)} times while it worked on this image, for "
                "lack of memory or by a fault in a decoder; save the image smaller or in another "
                "format, or try it again with --fresh",
            )
        if ends.seen[key]:
            self._take_turn(key)
        with self._lock:
            prompt = ends.recent or not self._changes
            self._active[key] += 1
            self._changes += 1
            change = self._changes
            if not prompt:
                self._schedule()
        if prompt:
            self._write(change)

    def end(self, key: str) -> None:
        """Takes the mark of an image away."""
        with self._lock:
            self._active[key] -= 1
            if self._active[key] < 1:
                del self._active[key]
            self._changes += 1
            change = self._changes
            suspect = bool(self._ends.seen[key])
            if not suspect:
                self._schedule()
            in_turn = key in self._in_turn
            self._in_turn.discard(key)
        if suspect:  # at once: a process that is killed just after it must not count against it
            self._write(change)
        if in_turn:
            with contextlib.suppress(RowError):
                self._output.delete([self._turn_uri])
            self._turn.release()

    def clear(self, key: str) -> None:
        """Takes an image that was worked on to its end out of the marks of processes that are gone.

        It was not the reason: a job that is killed often comes to the same images each time.
        """
        with self._clearing:
            if not self._ends.seen[key]:
                return
            for uri, mark in self._dead.items():
                if key in mark.images:
                    images = [image for image in mark.images if image != key]
                    self._dead[uri] = self._others[uri] = replace(mark, images=images)
                    with contextlib.suppress(RowError):
                        self._output.put(uri, self._dead[uri].to_bytes())
            self._ends = _Ends(self._dead.values())

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_WRITE_S, self._write_now)
            self._timer.daemon = True
            self._timer.start()

    def _write_now(self) -> None:
        with self._lock:
            self._timer = None
            change = self._changes
        self._write(change)

    def _write(self, change: int) -> None:
        """Puts the mark, unless somebody has put one that holds the change."""
        with self._writing:
            with self._lock:
                if self._written >= change:
                    return
                self._written = self._changes
                keys = sorted(self._active)
                exact = self._ends.recent
            try:
                if keys:
                    self._output.put(self._uri, _Mark(keys, exact, witness=witness()).to_bytes())
                else:
                    self._output.delete([self._uri])
            except RowError as error:  # only a crash would have needed it
                _logger.warning("the mark of this process could not be written: %s", error.message)

    def _take_turn(self, key: str) -> None:
        """Waits until no other suspect is worked on, in this process or another of the run."""
        self._turn.acquire()
        try:
            mine = self._uri.rsplit("/", 1)[-1].encode()
            holder, since = b"", time.monotonic()
            while not self._output.create(self._turn_uri, mine):
                time.sleep(_POLL_S)
                found = _read_if_there(self._output, self._turn_uri)
                if found != holder:
                    holder, since = found, time.monotonic()
                of_this_run = holder.startswith(self._run_id.encode())
                if holder and (not of_this_run or time.monotonic() - since > _TURN_S):
                    self._output.delete([self._turn_uri])
        except BaseException:
            self._turn.release()
            raise
        with self._lock:
            self._in_turn.add(key)

    def _look(self) -> None:
        """Reads what processes that are gone have left."""
        with self._clearing:
            found = {uri: mark for uri, mark in _read(self._output).items() if uri != self._uri}
            mine = self._output.mark(self._run_id).removesuffix(".json")
            self._dead = {
                uri: mark
                for uri, mark in found.items()
                if not uri.startswith(mine) or self._others.get(uri) == mark
            }
            self._ends = _Ends(self._dead.values())
            self._others = found


@dataclass(frozen=True)
class _Mark:
    """What a process says of its work.

    Attributes:
        images: SHA-256 of those that it is computing on.
        exact: Whether each was marked before it was worked on.
        ends: For how many ends of processes the mark counts.
        witness: What tells how the process ended.
    """

    images: list[str]
    exact: bool
    ends: int = 1
    witness: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes) -> _Mark | None:
        """The mark that an object holds; None if it is broken."""
        try:
            mark = json.loads(data)
            return cls(
                [str(key) for key in mark["images"]],
                bool(mark["exact"]),
                int(mark["ends"]),
                {str(name): str(value) for name, value in mark["witness"].items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            _logger.warning("a mark under ledger/working is broken; it is left out")
            return None

    def to_bytes(self) -> bytes:
        """The mark as its object."""
        return json.dumps({**vars(self), "witness": dict(self.witness)}, indent=1).encode()


class _Ends:
    """Ends of processes, as their marks tell them.

    Attributes:
        seen: In how many of them an image was marked.
        recent: Whether there are others than those of images that were given up before.
    """

    def __init__(self, marks: Iterable[_Mark]) -> None:
        self.seen: Counter[str] = Counter()
        self.recent = False
        self._inexact = 0
        self._inexact_seen: Counter[str] = Counter()
        for mark in marks:
            if was_killed(mark.witness):
                continue
            self.seen.update({key: mark.ends for key in mark.images})
            self.recent |= mark.ends == 1
            if not mark.exact:
                self._inexact += 1
                self._inexact_seen.update(mark.images)

    def most(self, key: str) -> int:
        """How often an image may have ended its process: marks without it may have missed it."""
        return self.seen[key] + self._inexact - self._inexact_seen[key]

    def too_many(self, key: str) -> bool:
        """Whether an image is to be given up."""
        return self.seen[key] >= _SEEN and self.most(key) >= _ENDS


def forget_marks(output: Output) -> None:
    """Removes all marks when a run is whole; keeps which images were given up."""
    marks = _read(output).values()
    ends = _Ends(marks)
    given_up = sorted(filter(ends.too_many, ends.seen))
    keep = output.mark(_GIVEN_UP)
    if given_up:
        output.put(keep, _Mark(given_up, True, _ENDS).to_bytes())
    output.delete(uri for uri in output.mark_files() if not given_up or uri != keep)
    for mark in marks:
        forget_witness(mark.witness)


def remove_marks(output: Output, run_id: str) -> None:
    """Removes the marks of a run whose processes were ended in order."""
    mine = output.mark(run_id).removesuffix(".json")
    with contextlib.suppress(RowError):
        output.delete(uri for uri in output.mark_files() if uri.startswith(mine))


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """While the ``with`` lasts, this thread's image only waits, and is not marked."""
    yield from _switched(False)


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Within `waiting`: while the ``with`` lasts, this thread's image is worked on again."""
    yield from _switched(True)


class _Here(threading.local):
    marks: OpenMarks | None = None
    key = ""
    active = False


_here = _Here()


def _enter(marks: OpenMarks, key: str) -> None:
    _leave()  # what a bundle that failed has left
    marks.begin(key)
    _here.marks, _here.key, _here.active = marks, key, True


def _leave() -> None:
    if _here.marks is not None and _here.active:
        _here.marks.end(_here.key)
    _here.marks, _here.active = None, False


def _switched(active: bool) -> Iterator[None]:
    def switch(to: bool) -> None:
        if _here.marks is not None and _here.active != to:
            (_here.marks.begin if to else _here.marks.end)(_here.key)
            _here.active = to

    before = _here.active
    switch(active)
    try:
        yield
    finally:
        switch(before)


def _watch(marks: weakref.ref[OpenMarks]) -> None:
    """Looks for marks of processes that are gone for as long as the process has marks open."""
    pause = threading.Event()
    while True:
        pause.wait(_LOOK_S)
        mine = marks()
        if mine is None:
            return
        with contextlib.suppress(RowError):
            mine._look()
        del mine


def _read(output: Output) -> dict[str, _Mark]:
    """The marks that are there, by URI."""
    turn = output.mark(_TURN)
    found = {}
    for uri in output.mark_files():
        # An empty one has just been removed by its process.
        if uri != turn and (data := _read_if_there(output, uri)) and (mark := _Mark.of(data)):
            found[uri] = mark
    return found


def _read_if_there(output: Output, uri: str) -> bytes:
    with contextlib.suppress(RowError):  # its process may just have removed it
        return output.read(uri)
    return b""
