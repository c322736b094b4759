"""Object stores that carry a conditional creation out and do not say so, or refuse it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.backends.picpik.budget import Budget, spending_in
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.lease import LeaseError, acquire
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.output import Output
from alphabeam.transforms.storage import creating
from tests.storage.conftest import Stores
from tests.storage.proxy import Proxy, proxy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_waits")]

REMOTE = ("s3", "gcs", "azure")


class Spoilt:
    """A folder in a store behind a proxy."""

    def __init__(self, name: str, root: str, options: Any, through: Proxy) -> None:
        self.name = name
        self.root = root
        self.options = options
        self.through = through

    def lose(self, fault: str = "drop") -> None:
        """Lets the next answer be lost."""
        if self.name == "azure" and fault == "lose":
            pytest.skip("Azure's library waits 15 s after a 503; a dropped connection does as well")
        self.through.plan = [fault]

    def output(self, name: str) -> Output:
        return Output(storage.join(self.root, name), self.options)


@pytest.fixture(scope="module", params=REMOTE)
def behind(request: pytest.FixtureRequest, stores: Stores) -> Iterator[Spoilt]:
    store = stores[request.param]
    with proxy(store, "contested") as (through, options):
        yield Spoilt(request.param, storage.join(store.root, "contested"), options, through)


@pytest.fixture
def spoilt(behind: Spoilt) -> Spoilt:
    behind.through.plan, behind.through.always, behind.through.seen = [], "", 0
    storage.create(storage.join(behind.root, "first"), b"for the trial", options=behind.options)
    return behind


@pytest.mark.parametrize("fault", ["lose", "drop"])
def test_the_creator_knows_its_own_object_after_a_lost_answer(spoilt: Spoilt, fault: str) -> None:
    uri = storage.join(spoilt.root, fault)
    spoilt.lose(fault)
    assert storage.create(uri, b"mine, by a nonce", options=spoilt.options) is True
    assert spoilt.through.seen >= 2, "it was asked again, and was told that there is one"
    spoilt.lose(fault)
    assert storage.create(uri, b"another's", options=spoilt.options) is False
    assert storage.read(uri, options=spoilt.options) == b"mine, by a nonce"


def test_a_lease_whose_answer_was_lost_is_held(spoilt: Spoilt) -> None:
    output = spoilt.output("lease")
    spoilt.lose()
    with acquire(output, "first", sleep=lambda _: pytest.fail("nothing is to be waited for")) as it:
        assert it.lease.number == 1
        with pytest.raises(LeaseError, match="run first"):
            acquire(output, "second")


def test_an_intent_whose_answer_was_lost_is_the_buyers_own(spoilt: Spoilt) -> None:
    ledger = Submissions(spoilt.output("intent"))
    mine, other = (Submission("ab", "uuid", "", 1.0, owner=name) for name in ("a:1::x", "b:1::y"))
    spoilt.lose()
    assert ledger.create(mine) is True
    assert ledger.create(other) is False


def test_a_budget_counts_each_purchase_once_though_answers_are_lost(spoilt: Spoilt) -> None:
    folder = storage.join(spoilt.root, "spending")
    one, other = (Budget(6, spending=spending_in(folder, spoilt.options)) for _ in range(2))
    taken = []
    for number in range(8):
        if number % 4:  # its budget knows the latest count, so this creation succeeds
            spoilt.lose()
        try:
            (one, other)[number // 4].take()
            taken.append(number)
        except RowError as error:
            assert error.code is ErrorCode.BUDGET_SPENT
    assert taken == [0, 1, 2, 3, 4, 5]


def test_a_store_that_denies_the_condition_is_one_line(spoilt: Spoilt) -> None:
    spoilt.through.always = "403"
    with pytest.raises(RowError) as caught:
        acquire(spoilt.output("denied"), "mine")
    assert caught.value.code is ErrorCode.ACCESS_DENIED
    message = caught.value.message
    assert "lease/000001.json" in message and "permissions" in message and "\n" not in message


@pytest.mark.parametrize("status", ["400", "501"])
def test_a_store_that_does_not_know_the_condition_gets_a_claim(
    spoilt: Spoilt, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if spoilt.name == "gcs" and status == "501":
        pytest.skip("GCS's library tries every 5xx again, for half a minute")
    monkeypatch.setattr(creating, "_SETTLE_S", 0.3)
    monkeypatch.setattr(creating, "_honoured", creating.WeakKeyDictionary())
    spoilt.through.always = status
    output = spoilt.output(f"unknown {status}")
    barrier, got, refused = threading.Barrier(3), [], []

    def take(number: int) -> None:
        barrier.wait()
        try:
            got.append(acquire(output, f"run{number}"))
        except LeaseError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == 2
    assert all(f"run {got[0].lease.run_id} " in message for message in refused)
    got[0].end()
