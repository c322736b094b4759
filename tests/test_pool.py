"""Overlapped work: bounds, windows, failures; timed by events and barriers, not by sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue

from alphabeam.transforms.pool import BoundedPool, InFlight, Overlap, Stage, _OverlapFn

WAIT = 30  # seconds after which a test fails instead of hanging


def test_a_slow_item_holds_up_no_other() -> None:
    release = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert release.wait(WAIT)
        return item

    flight = InFlight(BoundedPool(8, depth=2 + 8), work)
    out = [result for item in range(40) for result in flight.push(item)]
    assert 0 not in out and len(out) >= 30
    release.set()
    assert sorted([*out, *flight.drain()]) == list(range(40))


def test_items_are_at_work_at_the_same_time() -> None:
    barrier = threading.Barrier(4)  # passes only if four threads stand at it at once
    flight = InFlight(BoundedPool(4), lambda item: barrier.wait(WAIT) >= 0)
    out = [result for item in range(8) for result in flight.push(item)]
    assert [*out, *flight.drain()] == [True] * 8


def test_never_more_than_depth() -> None:
    started, taken = [], []
    lock = threading.Lock()
    most = 0

    def work(item: int) -> int:
        nonlocal most
        with lock:
            started.append(item)
            most = max(most, len(started) - len(taken))
        return item

    flight = InFlight(BoundedPool(3, depth=3), work)
    for item in range(50):
        for result in flight.push(item):
            taken.append(result)
    taken.extend(flight.drain())
    assert sorted(taken) == list(range(50))
    # One result may be on its way to the caller while the next item starts.
    assert most <= 4


def test_never_more_weight_than_the_capacity_but_for_one_alone() -> None:
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

    pool = BoundedPool(8, depth=100, capacity=10)
    flight = InFlight(pool, work, lambda item: weights[item])
    out = [result for item in range(len(weights)) for result in flight.push(item)]
    assert sorted([*out, *flight.drain()]) == list(range(len(weights)))
    assert not wrong


def test_an_item_waits_until_there_is_room() -> None:
    release, second = threading.Event(), threading.Event()

    def work(item: int) -> int:
        (second.set if item else lambda: release.wait(WAIT))()
        return item

    flight = InFlight(BoundedPool(8, depth=9, capacity=10), work, lambda _: 6)
    assert list(flight.push(0)) == []
    pushing = flight.push(1)
    threading.Timer(0.05, release.set).start()
    assert next(pushing) == 0  # comes only after the first is out
    assert not second.is_set()
    assert [*pushing, *flight.drain()] == [1] and second.is_set()


def test_bundles_that_share_a_pool_share_its_bounds() -> None:
    """Four bundles at once must not mean four times the memory."""
    at_work, most = 0, 0
    lock = threading.Lock()

    def work(item: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        threading.Event().wait(0.002)
        with lock:
            at_work -= 1
        return item

    pool = BoundedPool(3)
    results: list[list[int]] = [[] for _ in range(4)]

    def bundle(out: list[int]) -> None:
        flight = InFlight(pool, work)
        for item in range(25):
            out.extend(flight.push(item))
        out.extend(flight.drain())

    threads = [threading.Thread(target=bundle, args=(out,)) for out in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert [sorted(out) for out in results] == [list(range(25))] * 4
    assert most == 3


def test_two_bundles_never_wait_for_each_other_in_different_steps() -> None:
    """Each holds all the room of one step and asks for some of the other."""
    first, second = BoundedPool(1, depth=1), BoundedPool(1, depth=1)
    met = threading.Barrier(2)
    done = []

    def bundle(one: BoundedPool, other: BoundedPool) -> None:
        outer = InFlight(one, lambda item: item)
        inner = InFlight(other, lambda item: item)
        begun = [*outer.push(1)]
        met.wait(WAIT)
        done.extend([*begun, *inner.push(2), *inner.drain(), *outer.drain()])

    threads = [
        threading.Thread(target=bundle, args=pair, daemon=True)
        for pair in ((first, second), (second, first))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert sorted(done) == [1, 1, 2, 2]


def test_abandon_waits_for_what_runs_and_gives_its_room_back() -> None:
    done: list[int] = []
    pool = BoundedPool(2, depth=5)
    flight = InFlight(pool, done.append)
    for item in range(5):
        list(flight.push(item))
    flight.abandon()
    assert list(flight.drain()) == []
    before = list(done)
    idle = threading.Event()
    pool.submit(idle.set)
    assert idle.wait(WAIT)
    assert done == before, "nothing of the bundle goes on behind its back"
    assert all(pool.take(0) for _ in range(5))


# ---------------------------------------------------------------------------------- in a pipeline


def together() -> Callable[[int], int]:
    """Each element waits until two are at work: passes only if the work overlaps."""
    barrier = threading.Barrier(2)

    def work(element: int) -> int:
        barrier.wait(WAIT)
        return element * 10

    return work


def options(*more: str) -> PipelineOptions:
    return PipelineOptions(["--runner=FnApiRunner", *more])


@pytest.mark.parametrize("more", [(), ("--direct_runner_bundle_repeat=2",)])
def test_elements_overlap_within_a_bundle(more: tuple[str, ...]) -> None:
    with beam.Pipeline(options=options(*more)) as pipeline:
        out = (
            pipeline
            | beam.Create(range(10), reshuffle=False)
            | Overlap(Stage(together, threads=2), output_type=int)
        )
        assert out.element_type is int
        assert_that(out, equal_to([n * 10 for n in range(10)]))


def plain() -> Callable[[Any], Any]:
    return lambda element: ("out", element)


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
            | Overlap(Stage(plain, threads=3, depth=5), output_type=Any)
            | beam.ParDo(_Seen())
        )
        assert_that(
            out,
            equal_to([(("out", n), float(n), float(s)) for n in range(40) for s in starts(n)]),
        )


class _FailsOnce:
    failed = False

    def __call__(self) -> Callable[[int], int]:
        def work(element: int) -> int:
            if element == 7 and not _FailsOnce.failed:
                _FailsOnce.failed = True
                raise ValueError("element 7 is bad")
            return element

        return work


def test_a_bundle_that_failed_leaves_nothing_to_the_next() -> None:
    """Driven by hand, because this runner does not retry."""
    _FailsOnce.failed = False
    fn = _OverlapFn([Stage(_FailsOnce(), 2, 4)])
    fn.setup()
    try:
        fn.start_bundle()
        with pytest.raises(ValueError, match="element 7 is bad"):
            for n in range(20):
                list(fn.process(n, 0, None))
            list(fn.finish_bundle())
        fn.start_bundle()
        out = [v.value for n in range(20) for v in fn.process(n, 0, None)]
        assert sorted(out + [v.value for v in fn.finish_bundle()]) == list(range(20))
        fn.start_bundle()
        assert list(fn.finish_bundle()) == []
    finally:
        fn.teardown()


def test_an_unforeseen_error_fails_the_pipeline() -> None:
    _FailsOnce.failed = False
    with pytest.raises(Exception, match="element 7 is bad"):  # noqa: SIM117
        with beam.Pipeline(options=options()) as pipeline:
            (
                pipeline
                | beam.Create(range(10), reshuffle=False)
                | Overlap(Stage(_FailsOnce()), output_type=int)
            )


# ------------------------------------------------------------------------------------- as a chain


def test_in_a_chain_no_element_waits_for_another_stages() -> None:
    """The first element hangs in the first stage; the second gets through the second one."""
    release, through = threading.Event(), threading.Event()

    def first(element: int) -> int:
        if element == 0:
            assert release.wait(WAIT)
        return element

    def second(element: int) -> int:
        if element == 1:
            through.set()
        return element * 10

    fn = _OverlapFn([Stage(lambda: first, threads=2), Stage(lambda: second, threads=1)])
    fn.setup()
    try:
        fn.start_bundle()
        out = [v.value for n in range(2) for v in fn.process(n, 0, None)]
        assert through.wait(WAIT), "though Beam's thread asks for nothing"
        release.set()
        assert sorted(out + [v.value for v in fn.finish_bundle()]) == [0, 10]
    finally:
        fn.teardown()


def test_a_chain_keeps_each_stages_bounds() -> None:
    """Two threads for the first stage, one for the second; of weight 6, one at a time has room."""
    lock = threading.Lock()
    at_work, most, taken = [0, 0], [0, 0], [0]

    def counted(stage: int) -> Callable[[], Callable[[int], int]]:
        def work(element: int) -> int:
            with lock:
                at_work[stage] += 1
                most[stage] = max(most[stage], at_work[stage])
            threading.Event().wait(0.003)
            with lock:
                at_work[stage] -= 1
            return element

        return lambda: work

    def heavy(element: int) -> int:
        taken.append(max(at_work[1], 0))
        return 6

    fn = _OverlapFn(
        [
            Stage(counted(0), threads=2, depth=9),
            Stage(counted(1), threads=3, weigh=heavy, capacity=10),
        ]
    )
    fn.setup()
    try:
        fn.start_bundle()
        out = [v.value for n in range(30) for v in fn.process(n, 0, None)]
        assert sorted(out + [v.value for v in fn.finish_bundle()]) == list(range(30))
        assert most == [2, 1], "three threads, but room for one"
    finally:
        fn.teardown()


def test_a_stage_that_waits_takes_the_room_of_others_over_and_concerns_some() -> None:
    """Odd elements hang in the second stage; the first has room for one, and goes on."""
    release, all_through = threading.Event(), threading.Event()
    first_done: list[int] = []
    asked: list[int] = []

    def first(element: int) -> int:
        first_done.append(element)
        if len(first_done) == 8:
            all_through.set()
        return element

    def waits(element: int) -> int:
        asked.append(element)
        assert release.wait(WAIT)
        return element * 10

    fn = _OverlapFn(
        [
            Stage(lambda: first, threads=2, weigh=lambda _: 1, capacity=1),
            Stage(
                lambda: waits,
                threads=2,
                weigh=lambda _: 1,
                capacity=4,
                concerns=lambda element: element % 2 == 1,
                waits=True,
            ),
            Stage(lambda: lambda element: element, threads=6),
        ]
    )
    fn.setup()
    try:
        fn.start_bundle()
        out = [v.value for n in range(8) for v in fn.process(n, 0, None)]
        assert all_through.wait(WAIT), "the second stage holds the first one's room"
        release.set()
        out += [v.value for v in fn.finish_bundle()]
        assert sorted(out) == [0, 2, 4, 6, 10, 30, 50, 70]
        assert sorted(asked) == [1, 3, 5, 7]
    finally:
        fn.teardown()
