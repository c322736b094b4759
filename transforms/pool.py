"""`Overlap`: ``beam.Map`` for work that waits, with several elements at once on a bounded pool.

A DoFn of a fused stage is handed one element after another and hands each result on at once, so
reading, inference and encoding would take turns. `Overlap` starts the work on a pool instead and
hands results on as they are ready, in any order: no element waits for another. While Beam's thread
waits for one step's result, the pools of all other steps go on working.

The pool, and the bounds on what is at work or waits to be handed on, belong to the process and not
to the DoFn: a runner that works on four bundles at once in one process shares one pool.

Not for work that only computes in Python: threads gain nothing there.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from alphabeam.transforms import metrics
from alphabeam.transforms.cores import cores

__all__ = ["BoundedPool", "InFlight", "Overlap", "Stage"]

T = TypeVar("T")
R = TypeVar("R")


class BoundedPool:
    """A thread pool, and room for a number of items and their weight.

    Lighter than ``concurrent.futures``, which makes a lock and a condition for each item: a night
    on which nothing has changed has millions of items, and little work in each.

    Args:
        threads: Items worked on at once, at least 1.
        depth: Items at work or waiting to be handed on, at least ``threads``.
        capacity: Most weight of these items; 0 for no bound.
        name: Of the threads.
    """

    def __init__(
        self, threads: int, depth: int = 0, capacity: int = 0, name: str = "alphabeam"
    ) -> None:
        self._threads = threads
        self._name = name
        self._depth = max(depth or 2 * threads, threads)
        self._capacity = capacity
        self._lock = threading.Lock()
        self._items = 0
        self._weight = 0
        self._started = 0
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # The threads know the queue and not the pool, so that they end when nobody has it any more.
        weakref.finalize(self, _end, self._jobs, threads)

    def take(self, weight: int, force: bool = False) -> bool:
        """Takes room for one item; whether there was any. ``force`` takes it in any case."""
        with self._lock:
            full = self._items >= self._depth or (
                self._capacity > 0 and self._items > 0 and self._weight + weight > self._capacity
            )
            if full and not force:
                return False
            self._items += 1
            self._weight += weight
            return True

    def give_back(self, weight: int) -> None:
        """Gives back the room of one item."""
        with self._lock:
            self._items -= 1
            self._weight -= weight

    def submit(self, job: Callable[[], None]) -> None:
        """Runs a job as soon as a thread is free; it must not raise."""
        if self._started < self._threads:
            self._start()
        self._jobs.put(job)

    def _start(self) -> None:
        with self._lock:
            if self._started == self._threads:
                return
            number, self._started = self._started, self._started + 1
        threading.Thread(
            target=_work, args=(self._jobs,), name=f"{self._name}_{number}", daemon=True
        ).start()


def _work(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # it would hold the last item until the next one comes


def _end(jobs: queue.SimpleQueue[Callable[[], None] | None], threads: int) -> None:
    for _ in range(threads):
        jobs.put(None)


class InFlight(Generic[T, R]):
    """What one bundle has at work on a pool that it may share with other bundles.

    A bundle that holds nothing is always let in, by one item over the bounds: otherwise two
    bundles could each wait, in different steps, for room that the other holds.

    Args:
        pool: Runs the work.
        work: From an item to its result. What it raises, `push` and `drain` raise.
        weigh: An item's weight, such as its pixels.
    """

    def __init__(
        self, pool: BoundedPool, work: Callable[[T], R], weigh: Callable[[T], int] | None = None
    ) -> None:
        self._pool = pool
        self._work = work
        self._weigh = weigh
        self._pending = 0
        self._abandoned = False
        self._ready: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()

    def push(self, item: T) -> Iterator[R]:
        """Starts the work on an item; yields results while there is no room, and all ready ones."""
        weight = self._weigh(item) if self._weigh else 0
        while not self._pool.take(weight, force=not self._pending):
            yield self._next()
        self._pending += 1
        self._pool.submit(partial(self._run, item, weight))
        while not self._ready.empty():
            yield self._next()

    def drain(self) -> Iterator[R]:
        """Yields all the results that are left."""
        while self._pending:
            yield self._next()

    def abandon(self) -> None:
        """Cancels what has not begun, and waits for the rest; for a bundle that failed."""
        self._abandoned = True
        while self._pending:
            with contextlib.suppress(BaseException):
                self._next()
        self._abandoned = False

    def _run(self, item: T, weight: int) -> None:
        """On a thread of the pool."""
        result, raised = None, None
        try:
            if not self._abandoned:
                result = self._work(item)
        except BaseException as error:
            raised = error
        self._ready.put((weight, result, raised))

    def _next(self) -> R:
        weight, result, raised = self._ready.get()
        self._pending -= 1
        self._pool.give_back(weight)
        if raised is not None:
            raise raised
        return cast(R, result)


@dataclass(frozen=True)
class Stage:
    """One kind of work, and how much of it a process does at once.

    Attributes:
        open: Called once for each DoFn on the worker; gives the function from an element to its
            result. The function runs on the pool's threads. What it raises fails the bundle.
        threads: Elements worked on at once, per process; 0 for as many as the process has cores.
        depth: Elements at work or waiting to be handed on, per process; 0 for twice the threads.
        weigh: An element's weight.
        capacity: Most weight at once, per process; 0 for no bound. An element over it is worked
            on alone.
        concerns: In a chain of stages: whether there is work for an element. Others pass without
            waiting for a thread. None for all.
        waits: In a chain of stages: the work waits for somebody else. An element gives back the
            room that it has of earlier stages for room of this one, so that they go on meanwhile.
    """

    open: Callable[[], Callable[[Any], Any]]
    threads: int = 0
    depth: int = 0
    weigh: Callable[[Any], int] | None = None
    capacity: int = 0
    concerns: Callable[[Any], bool] | None = None
    waits: bool = False

    @property
    def workers(self) -> int:
        """The threads, resolved on this machine."""
        return self.threads or cores()

    @property
    def room(self) -> int:
        """The depth, resolved on this machine."""
        return max(self.depth or 2 * self.workers, self.workers)


class Overlap(beam.PTransform):
    """Applies a function to each element, several at once; results in the order of completion.

    Given several stages, each element goes through all of them on the pool, one after another. A
    later stage of one element does not wait for an earlier one of another: in a chain of separate
    steps, Beam's thread would wait in the first step, and hold back what is ready in the second.

    Elements keep their timestamps and windows.

    Args:
        stages: The work.
        output_type: Type of the results.
    """

    def __init__(self, *stages: Stage, output_type: Any) -> None:
        super().__init__()
        self._fn = _OverlapFn(stages)
        self._output_type = output_type

    def expand(self, elements: beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Builds the step."""
        return elements | "Work" >> beam.ParDo(self._fn).with_output_types(self._output_type)


class _Bounds:
    """What the stages of a process share: the pool, and each stage's threads and room."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        if len(stages) == 1:
            (stage,) = stages
            self.pool = BoundedPool(stage.workers, stage.room, stage.capacity)
        else:
            # A thread for each element that any stage may have at work; the rest wait outside.
            workers = sum(stage.workers for stage in stages)
            self.pool = BoundedPool(workers, workers)
        self.turns = [threading.BoundedSemaphore(stage.workers) for stage in stages]
        self.rooms = [_Room(stage.capacity) for stage in stages]


class _Room:
    """Room for a weight; what is heavier than all of it gets it alone."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, weight: int) -> int:
        """Waits for room; gives the weight to give back."""
        if not self._capacity or not weight:
            return 0
        with self._changed:
            self._changed.wait_for(
                lambda: not self._taken or self._taken + weight <= self._capacity
            )
            self._taken += weight
        return weight

    def give_back(self, weight: int) -> None:
        with self._changed:
            self._taken -= weight
            self._changed.notify_all()


class _OverlapFn(beam.DoFn):
    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self._stages = tuple(stages)
        self._shared = Shared()
        self._in_flight: InFlight[Any, Any] | None = None

    def setup(self) -> None:
        works = [stage.open() for stage in self._stages]
        bounds: _Bounds = self._shared.acquire(lambda: _Bounds(self._stages))
        weigh: Callable[[Any], int] | None = None
        if len(works) == 1:
            work, of = works[0], self._stages[0].weigh
            if of is not None:
                weigh = lambda item: of(item[0])  # noqa: E731
        else:
            work = self._chained(works, bounds)
        self._in_flight = InFlight(
            bounds.pool, lambda item: (work(item[0]), item[1], item[2]), weigh
        )
        self._bounds = bounds  # as long as this DoFn lives, the process shares them

    def _chained(
        self, works: Sequence[Callable[[Any], Any]], bounds: _Bounds
    ) -> Callable[[Any], Any]:
        """The stages one after another, each within its own bounds.

        Room that an element takes in a stage it keeps until it is through: its pixels stay. Only
        a stage that waits takes it over.
        """
        steps = [*zip(self._stages, works, bounds.turns, bounds.rooms, strict=True)]

        def work(element: Any) -> Any:
            held: list[tuple[_Room, int]] = []
            try:
                for stage, function, turn, room in steps:
                    if stage.concerns is not None and not stage.concerns(element):
                        continue
                    needs_room = stage.waits or not held
                    weight = stage.weigh(element) if stage.weigh and needs_room else 0
                    if taken := room.take(weight):
                        # Nobody waits for good: who has room in a stage that waits needs no other.
                        before, held = held, [(room, taken)]
                        for other, weight in before:
                            other.give_back(weight)
                    with turn:
                        element = function(element)
                return element
            finally:
                for room, taken in held:
                    room.give_back(taken)

        return work

    def start_bundle(self) -> None:
        assert self._in_flight is not None
        self._in_flight.abandon()  # what a bundle that failed has left

    def process(
        self,
        element: Any,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        assert self._in_flight is not None
        for result in self._in_flight.push((element, timestamp, window)):
            yield _windowed(*result)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        assert self._in_flight is not None
        for result in self._in_flight.drain():
            yield _windowed(*result)
        metrics.report_counts()

    def teardown(self) -> None:
        if self._in_flight is not None:
            self._in_flight.abandon()


def _windowed(value: Any, timestamp: Any, window: Any) -> WindowedValue:
    return WindowedValue(value, timestamp, (window if window is not None else GlobalWindow(),))
