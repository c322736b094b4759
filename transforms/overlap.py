"""Overlap within a fused stage: several elements at work at once, bounded.

A DoFn of a fused stage is handed one element after another and hands each result on at once, so
reading, inference and encoding would take turns. `OverlappedDoFn` starts the work on a pool
instead and hands on a result once the window is full: while the caller waits for one
step's result, the pools of all the other steps go on working. Memory is bounded by the windows,
not by the bundle.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

__all__ = ["OverlappedDoFn", "Window"]

T = TypeVar("T")
R = TypeVar("R")


class Window(Generic[T, R]):
    """A bounded window of work on a pool.

    Args:
        pool: Runs the work.
        work: From an item to its result; must not raise for what an item may do wrong.
        depth: Most items at work or waiting to be handed on, at least 1.
        weigh: An item's weight, such as its pixels.
        capacity: Most weight at once; an item over it is worked on alone.
        ordered: Results in the order of their items. Without it, in the order in which they are
            ready, so that one slow item does not hold up the others.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        work: Callable[[T], R],
        *,
        depth: int,
        weigh: Callable[[T], int] | None = None,
        capacity: int = 0,
        ordered: bool = True,
    ) -> None:
        self._ordered = ordered
        self._pool = pool
        self._work = work
        self._depth = max(1, depth)
        self._weigh = weigh
        self._capacity = capacity
        self._weight = 0
        self._pending: deque[tuple[Future[R], int]] = deque()

    def push(self, item: T) -> Iterator[R]:
        """Takes an item in; yields results while there is no room for it, and what is ready."""
        weight = self._weigh(item) if self._weigh else 0
        while self._pending and (
            len(self._pending) >= self._depth
            or (self._weigh is not None and self._weight + weight > self._capacity)
        ):
            yield self._pop()
        self._weight += weight
        self._pending.append((self._pool.submit(self._work, item), weight))
        while self._pending and any(
            future.done()
            for future, _ in (self._pending if not self._ordered else [self._pending[0]])
        ):
            yield self._pop()

    def drain(self) -> Iterator[R]:
        """Yields all the results that are left."""
        while self._pending:
            yield self._pop()

    def _pop(self) -> R:
        index = 0
        if not self._ordered:
            ready, _ = wait([future for future, _ in self._pending], return_when=FIRST_COMPLETED)
            index = next(i for i, (future, _) in enumerate(self._pending) if future in ready)
        future, weight = self._pending[index]
        del self._pending[index]
        self._weight -= weight
        return future.result()

    def abandon(self) -> None:
        """Forgets what is pending, after a failure of the bundle."""
        for future, _ in self._pending:
            future.cancel()
        for future, _ in self._pending:
            with contextlib.suppress(BaseException):
                future.result()
        self._pending.clear()
        self._weight = 0


class OverlappedDoFn(beam.DoFn):
    """A DoFn whose `work` runs on a pool; see the module.

    Elements keep their timestamps and windows.

    Args:
        threads: Items worked on at once; 0 for as many as the worker has cores.
        depth: Items in the window, at work and waiting; 0 for twice the threads.
        capacity: Most weight in the window; 0 for no bound. `weigh` gives an element's weight.
        ordered: Whether elements keep their order.
    """

    def __init__(
        self, *, threads: int = 0, depth: int = 0, capacity: int = 0, ordered: bool = True
    ) -> None:
        super().__init__()
        self._ordered = ordered
        self._threads = threads
        self._depth = depth
        self._capacity = capacity
        self._pool: ThreadPoolExecutor | None = None
        self._window: Window[Any, Any] | None = None

    def work(self, element: Any) -> Any:
        """From an element to its result. Runs on the pool; a row's failure is a result."""
        raise NotImplementedError

    def weigh(self, element: Any) -> int:
        """An element's weight against the capacity."""
        return 1

    def setup(self) -> None:
        """Starts the pool."""
        self._threads = self._threads or os.cpu_count() or 1
        self._depth = max(self._depth or 2 * self._threads, self._threads)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=type(self).__name__)

    def start_bundle(self) -> None:
        """Begins with an empty window, also after a bundle that failed."""
        if self._window is not None:
            self._window.abandon()
        assert self._pool is not None
        self._window = Window(
            self._pool,
            lambda item: (self.work(item[0]), item[1], item[2]),
            depth=self._depth,
            weigh=(lambda item: self.weigh(item[0])) if self._capacity else None,
            capacity=self._capacity,
            ordered=self._ordered,
        )

    def process(
        self,
        element: Any,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        """Starts the work on an element; hands on older results when the window is full."""
        assert self._window is not None
        for result in self._window.push((element, timestamp, window)):
            yield _windowed(*result)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Hands on what is left."""
        assert self._window is not None
        for result in self._window.drain():
            yield _windowed(*result)

    def teardown(self) -> None:
        """Ends the pool."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _windowed(value: Any, timestamp: Any, window: Any) -> WindowedValue:
    return WindowedValue(value, timestamp, (window if window is not None else GlobalWindow(),))
