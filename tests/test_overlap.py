"""Overlapped work: order, bounds, windows, failures; told by events and barriers, not by time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue

from alphabeam.transforms.overlap import OverlappedDoFn, Window

WAIT = 30  # seconds after which a test fails instead of hanging


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def test_results_keep_the_order_of_their_items(pool: ThreadPoolExecutor) -> None:
    """The first item is the last to be ready, and still the first to come out."""
    last_began = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert last_began.wait(WAIT)
        if item == 5:
            last_began.set()
        return item

    window = Window(pool, work, depth=6)
    out = [result for item in range(6) for result in window.push(item)]
    assert [*out, *window.drain()] == [0, 1, 2, 3, 4, 5]


def test_without_order_a_slow_item_holds_up_no_other(pool: ThreadPoolExecutor) -> None:
    release = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert release.wait(WAIT)
        return item

    window = Window(pool, work, depth=2, ordered=False)
    out = [result for item in range(20) for result in window.push(item)]
    assert 0 not in out and len(out) >= 18
    release.set()
    assert sorted([*out, *window.drain()]) == list(range(20))


def test_items_are_at_work_at_the_same_time(pool: ThreadPoolExecutor) -> None:
    barrier = threading.Barrier(4)  # passes only if four threads stand at it at once
    window = Window(pool, lambda item: barrier.wait(WAIT) >= 0, depth=4)
    out = [result for item in range(8) for result in window.push(item)]
    assert [*out, *window.drain()] == [True] * 8


@pytest.mark.parametrize("ordered", [True, False])
def test_never_more_than_depth(pool: ThreadPoolExecutor, ordered: bool) -> None:
    started, taken = [], []
    lock = threading.Lock()
    most = 0

    def work(item: int) -> int:
        nonlocal most
        with lock:
            started.append(item)
            most = max(most, len(started) - len(taken))
        return item

    window = Window(pool, work, depth=3, ordered=ordered)
    for item in range(50):
        for result in window.push(item):
            taken.append(result)
    taken.extend(window.drain())
    assert sorted(taken) == list(range(50))
    # One result may be on its way to the caller while the next item starts.
    assert most <= 4


def test_never_more_weight_than_the_capacity_but_for_one_alone(pool: ThreadPoolExecutor) -> None:
    at_work: set[int] = set()
    lock = threading.Lock()
    wrong = []
    weights = [3, 3, 3, 50, 1, 9, 9, 2, 2, 2, 2, 2, 10, 11, 1]

    def work(item: int) -> int:
        with lock:
            at_work.add(item)
            total = sum(weights[i] for i in at_work)
            if total > 10 and len(at_work) > 1:
                wrong.append(set(at_work))
        with lock:
            at_work.remove(item)
        return item

    window = Window(pool, work, depth=100, weigh=lambda item: weights[item], capacity=10)
    out = [result for item in range(len(weights)) for result in window.push(item)]
    assert [*out, *window.drain()] == list(range(len(weights)))
    assert not wrong


def test_an_item_waits_until_there_is_room(pool: ThreadPoolExecutor) -> None:
    release, second = threading.Event(), threading.Event()

    def work(item: int) -> int:
        (second.set if item else lambda: release.wait(WAIT))()
        return item

    window = Window(pool, work, depth=9, weigh=lambda _: 6, capacity=10)
    assert list(window.push(0)) == []
    pushing = window.push(1)
    threading.Timer(0.05, release.set).start()
    assert next(pushing) == 0  # comes only after the first is out
    assert not second.is_set()
    assert [*pushing, *window.drain()] == [1] and second.is_set()


def test_abandon_waits_for_what_runs_and_forgets_it(pool: ThreadPoolExecutor) -> None:
    done = []
    window = Window(pool, done.append, depth=9)
    for item in range(5):
        list(window.push(item))
    window.abandon()
    assert list(window.drain()) == []
    before = list(done)
    pool.submit(lambda: None).result(WAIT)
    assert done == before, "nothing of the bundle goes on behind its back"


# -------------------------------------------------------------------------------------- as a DoFn


class _Together(OverlappedDoFn):
    """Each element waits until two are at work: passes only if the work overlaps."""

    def __init__(self, **options: Any) -> None:
        super().__init__(threads=2, **options)

    def setup(self) -> None:
        super().setup()
        self._barrier = threading.Barrier(2)

    def work(self, element: int) -> int:
        self._barrier.wait(WAIT)
        return element * 10


def options(*more: str) -> PipelineOptions:
    return PipelineOptions(["--runner=FnApiRunner", *more])


@pytest.mark.parametrize("more", [(), ("--direct_runner_bundle_repeat=2",)])
def test_elements_overlap_within_a_bundle(more: tuple[str, ...]) -> None:
    with beam.Pipeline(options=options(*more)) as pipeline:
        out = pipeline | beam.Create(range(10), reshuffle=False) | beam.ParDo(_Together())
        assert_that(out, equal_to([n * 10 for n in range(10)]))


class _Plain(OverlappedDoFn):
    def __init__(self) -> None:
        super().__init__(threads=3, depth=5)

    def work(self, element: Any) -> Any:
        return ("out", element)


class _Seen(beam.DoFn):
    def process(
        self,
        element: Any,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        yield element, float(timestamp), float(window.start)


@pytest.mark.parametrize(
    ("into", "starts"),
    [
        (FixedWindows(10), lambda t: [t // 10 * 10]),
        (SlidingWindows(10, 5), lambda t: [t // 5 * 5, t // 5 * 5 - 5]),
    ],
)
def test_timestamps_and_windows_are_kept(into: Any, starts: Any) -> None:
    with beam.Pipeline(options=options()) as pipeline:
        out = (
            pipeline
            | beam.Create(range(40), reshuffle=False)
            | beam.Map(lambda n: TimestampedValue(n, n))
            | beam.WindowInto(into)
            | beam.ParDo(_Plain())
            | beam.ParDo(_Seen())
        )
        assert_that(
            out,
            equal_to([(("out", n), float(n), float(s)) for n in range(40) for s in starts(n)]),
        )


class _FailsOnce(OverlappedDoFn):
    failed = False

    def __init__(self) -> None:
        super().__init__(threads=2, depth=4)

    def work(self, element: int) -> int:
        if element == 7 and not _FailsOnce.failed:
            _FailsOnce.failed = True
            raise ValueError("element 7 is bad")
        return element


def test_a_bundle_that_failed_leaves_nothing_to_the_next() -> None:
    """Driven by hand, because this runner does not retry."""
    fn = _FailsOnce()
    fn.setup()
    try:
        fn.start_bundle()
        with pytest.raises(ValueError, match="element 7 is bad"):
            for n in range(20):
                list(fn.process(n, 0, None))
            list(fn.finish_bundle())
        fn.start_bundle()
        out = [v.value for n in range(20) for v in fn.process(n, 0, None)]
        assert out + [v.value for v in fn.finish_bundle()] == list(range(20))
        fn.start_bundle()
        assert list(fn.finish_bundle()) == []
    finally:
        fn.teardown()


def test_an_unforeseen_error_fails_the_pipeline() -> None:
    _FailsOnce.failed = False
    with pytest.raises(Exception, match="element 7 is bad"):  # noqa: SIM117
        with beam.Pipeline(options=options()) as pipeline:
            pipeline | beam.Create(range(10), reshuffle=False) | beam.ParDo(_FailsOnce())
