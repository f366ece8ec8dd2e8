"""A lease is one holder's, ends with it, and stops a holder that lost it from writing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from azure.storage.blob import BlobLeaseClient

from mlops_assets.adapters.azure import lease as leases
from mlops_assets.adapters.azure.blobs import open_blobs
from mlops_assets.adapters.azure.tree import BlobTree
from mlops_assets.adapters.tree import journal as journals
from mlops_assets.adapters.tree.journal import TreeIngestJournal
from mlops_assets.domain.addition import Catalogue
from mlops_assets.domain.errors import StaleError
from mlops_assets.domain.readings import RawFile
from mlops_assets.settings.azure import Cloud
from mlops_assets_tests.fakes.blob_proxy import proxied
from mlops_assets_tests.fakes.network import FaultyTransport, Killed

pytestmark = pytest.mark.azure


@pytest.fixture
def blobs(storage_account):
    return storage_account.blobs("ledger", "locks")


def end(blobs, name="lock"):
    """What Azure does by itself some seconds after the last renewal."""
    BlobLeaseClient(blobs._client(name)).break_lease(lease_break_period=0)


def await_(came):
    """Wait for what another thread does soon, however busy the machine is."""
    for _ in range(1200):
        if came():
            return
        time.sleep(0.05)
    pytest.fail("it did not come within a minute")


def test_a_lease_that_is_held_is_refused_to_others(blobs):
    with (
        blobs.lease("lock"),
        pytest.raises(StaleError, match="ledger/locks/lock: somebody else holds it; wait and"),
        blobs.lease("lock", wait=False),
    ):
        pass
    with blobs.lease("lock", wait=False):
        pass


def test_a_failure_inside_gives_it_back(blobs):
    with pytest.raises(ZeroDivisionError), blobs.lease("lock"):
        raise ZeroDivisionError
    with blobs.lease("lock", wait=False):
        pass


def test_who_waits_gets_it_when_it_is_given_back(blobs):
    order, waiting = [], threading.Event()

    def second():
        waiting.set()
        with blobs.lease("lock"):
            order.append("second")

    with blobs.lease("lock"):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_who_waits_long_is_told_for_what_and_once(blobs, caplog):
    slept, holder = [], ExitStack()

    def sleep(seconds):
        slept.append(seconds)
        if sum(slept) > 40:
            holder.close()

    holder.enter_context(blobs.lease("lock"))
    blobs._sleep = sleep
    with blobs.lease("lock"):
        pass
    told = [each.getMessage() for each in caplog.records if "holds it" in each.getMessage()]
    assert len(told) == 1
    assert told[0].endswith("ledger/locks/lock: somebody else holds it; waiting")


def test_many_holders_never_hold_it_at_once(blobs):
    inside, most = [], []

    def hold():
        with blobs.lease("lock"):
            inside.append(1)
            most.append(len(inside))
            blobs.put("x", b"")
            inside.pop()

    threads = [threading.Thread(target=hold) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_a_killed_holder_keeps_it_no_longer_than_its_lease(storage_account, blobs):
    # Its release never arrives, and neither does a renewal.
    dying = storage_account.blobs(
        "ledger", "locks", transport=FaultyTransport("killed_before", at=3)
    )
    with pytest.raises(Killed), dying.lease("lock"):
        pass
    with pytest.raises(StaleError), blobs.lease("lock", wait=False):
        pass
    end(blobs)
    with blobs.lease("lock", wait=False):
        pass


def test_a_holder_that_was_stopped_for_too_long_writes_no_more(blobs, monkeypatch):
    blobs.put("x", b"1")
    _, seen = blobs.get_with_etag("x")
    with blobs.lease("lock") as lease:
        blobs.put("x", b"2")
        lease._until -= leases.SECONDS
        for write in (
            lambda: blobs.put("x", b"3"),
            lambda: blobs.put_if_absent("y", b"3"),
            lambda: blobs.replace("x", b"3", seen),
            lambda: blobs.append("log", b"3", 0),
            lambda: blobs.delete("x"),
        ):
            with pytest.raises(StaleError, match="was held for 30 s without a renewal"):
                write()
    assert blobs.get("x") == b"2"
    assert blobs.get("y") is blobs.get("log") is None


def test_a_lease_lives_by_renewals_and_a_lost_one_is_known_at_the_next(blobs, monkeypatch):
    monkeypatch.setattr(leases, "_RENEWED_EVERY", 0.05)
    with blobs.lease("lock") as lease:
        before = lease._until
        await_(lambda: lease._until > before)
        blobs.put("x", b"1")
        end(blobs)
        with blobs.lease("lock", wait=False):
            await_(lambda: lease._lost)
            with pytest.raises(StaleError, match="may be another's by now"):
                lease.check()


def test_other_threads_write_without_it(blobs):
    with blobs.lease("lock") as lease:
        lease._until -= leases.SECONDS
        thread = threading.Thread(target=lambda: blobs.put("x", b"1"))
        thread.start()
        thread.join()
    assert blobs.get("x") == b"1"


def test_a_renewal_that_hangs_is_given_up_and_asked_again(storage_account, monkeypatch):
    monkeypatch.setattr(leases, "_RENEWED_EVERY", 0.05)
    monkeypatch.setattr(leases, "_ASKED_AGAIN_AFTER", 0.05)
    asked, hang = [], threading.Event()
    with proxied(storage_account) as proxy:
        blobs = opened(storage_account, proxy)
        blobs.put("lock", b"")

        def before(method, path):
            if "comp=lease" in path:
                asked.append(time.monotonic())
                if len(asked) == 2:
                    hang.wait(30)

        proxy.before = before
        with blobs.lease("lock") as lease:
            first = lease._until
            await_(lambda: lease._until > first)
            hang.set()
            assert asked[2] - asked[1] < leases.SECONDS / 3
            blobs.put("x", b"1")


@pytest.mark.parametrize("write", ["put", "put_if_absent", "append", "delete"])
def test_a_write_is_not_sent_again_once_its_lease_has_ended(storage_account, write):
    """Its first try was lost, and while the SDK waited somebody else took the lease, and wrote."""
    given = {"put": [b"1"], "put_if_absent": [b"1"], "append": [b"1", 0], "delete": []}[write]
    with proxied(storage_account) as proxy:
        blobs = opened(storage_account, proxy)
        tried = []
        with blobs.lease("lock") as lease:

            def lost(method, path):
                if "comp=lease" in path:
                    return None
                tried.append(method)
                lease._until -= leases.SECONDS
                return 503

            proxy.before = lost
            with pytest.raises(StaleError, match="was held for 30 s without a renewal"):
                getattr(blobs, write)("x", *given)
            proxy.before = lambda *_: None
        assert len(tried) == 1
        assert blobs.get("x") is None


@pytest.mark.parametrize("work", [lambda slow: slow.confirm("b", 2), lambda slow: slow.reopen("a")])
def test_a_journal_that_lost_its_lock_takes_no_slice_back(azurite, work, monkeypatch):
    """What it gathers may be on its way for long; what others gathered meanwhile stays."""
    monkeypatch.setattr(journals, "_ALONE", 1)
    blobs = azurite.blobs()
    tree = BlobTree(blobs, "home")
    slow, other = TreeIngestJournal(tree), TreeIngestJournal(BlobTree(blobs, "home"))
    files = {name: RawFile(f"{name}.csv", 1, name * 64) for name in "abc"}
    for name in "abc":
        slow.intend(name, [files[name]])
    slow.confirm("a", 1)
    swap = tree.swap

    def late(*words):
        other.confirm("b", 2)
        other.confirm("c", 3)
        swap(*words)

    monkeypatch.setattr(tree, "swap", late)
    with pytest.raises(StaleError, match=r"slices\.json: somebody else changed it first"):
        work(slow)
    assert TreeIngestJournal(BlobTree(blobs, "home")).confirmed() == frozenset(files.values())


def test_a_journal_that_lost_its_lock_forgets_nothing_that_slices_were_read_with(azurite):
    blobs = azurite.blobs()
    tree = BlobTree(blobs, "home")
    slow, other = TreeIngestJournal(tree), TreeIngestJournal(BlobTree(blobs, "home"))
    older, newer = (Catalogue(features=frozenset(names)) for names in ("a", "ab"))
    swap = tree.swap

    def late(*words):
        other.know(newer)
        swap(*words)

    tree.swap = late
    with pytest.raises(StaleError, match=r"catalogue\.json: somebody else changed it first"):
        slow.know(older)
    assert other.catalogue() == newer


def opened(account, proxy):
    """Blobs as the product opens them."""
    backend = account.backend(cloud=Cloud(blob=proxy.url))
    return open_blobs(backend, "release", "ledger", "locks", environ=account.environ)


HOLDER = """
import sys, time
from mlops_assets.adapters.azure import lease
from mlops_assets_tests.azurite import Account
lease.SECONDS = 15
with Account(*sys.argv[1:]).blobs("ledger", "locks").lease("lock"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_lease_of_a_killed_process_ends_by_itself(storage_account, blobs):
    """15 seconds are the shortest that Azure gives."""
    account = (storage_account.name, storage_account.url, storage_account.key)
    command = [sys.executable, "-c", HOLDER, *account]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    killed = time.monotonic()
    with pytest.raises(StaleError), blobs.lease("lock", wait=False):
        pass
    with blobs.lease("lock"):
        assert 5 < time.monotonic() - killed < 30


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no such clock on this system")
def test_a_holder_whose_machine_slept_writes_nothing(blobs, monkeypatch):
    """While a machine sleeps its monotonic clock stands still, and the lease ends all the same."""
    real, slept = time.clock_gettime, [0.0]
    monkeypatch.setattr(
        time, "clock_gettime", lambda c: real(c) + (slept[0] if c == time.CLOCK_BOOTTIME else 0)
    )
    with blobs.lease("lock"):
        blobs.put("before", b"1")
        slept[0] = leases.SECONDS
        with pytest.raises(StaleError, match="without a renewal, and may be another's"):
            blobs.put("after", b"2")
    assert blobs.get("after") is None
