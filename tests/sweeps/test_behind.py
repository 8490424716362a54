"""What is written behind is written: all of it, in order, together when much comes, and faults come to light."""

import threading
import time

import pytest

from sweeps.behind import Behind


def test_all_is_written_in_order_and_what_comes_at_once_together():
    written = []
    behind = Behind(written.append, backlog=16, pace=0.05)
    for number in range(60):
        behind.give(number)
    behind.wait()
    assert [number for things in written for number in things] == list(range(60))
    assert max(map(len, written)) == 16


def test_a_thing_alone_is_written_at_once_and_nothing_before_the_pace():
    seen, written = threading.Event(), []

    def write(things):
        written.append((time.monotonic(), list(things)))
        seen.set()

    behind = Behind(write, backlog=16, pace=0.3)
    begun = time.monotonic()
    behind.give("a")
    assert seen.wait(10)
    for thing in "bcd":
        behind.give(thing)
    while len(written) < 2:
        assert time.monotonic() - begun < 10
        time.sleep(0.01)
    assert [things for _, things in written] == [["a"], ["b", "c", "d"]]
    assert written[1][0] - written[0][0] >= 0.29


def test_who_waits_does_not_wait_for_the_pace():
    written = []
    behind = Behind(written.append, backlog=16, pace=60.0)
    for thing in "ab":
        behind.give(thing)
        behind.wait()
    assert written == [["a"], ["b"]]


def test_no_more_than_the_backlog_is_ahead():
    door, entered = threading.Event(), threading.Semaphore(0)

    def held(_):
        entered.release()
        assert door.wait(10)

    behind = Behind(held, backlog=2, pace=0.0)
    behind.give(0)
    assert entered.acquire(timeout=10)
    behind.give(1)
    behind.give(2)
    fourth = threading.Thread(target=behind.give, args=(3,))
    fourth.start()
    fourth.join(0.1)
    assert fourth.is_alive()  # whoever gives more waits
    door.set()
    fourth.join(10)
    assert not fourth.is_alive()
    behind.wait()


def test_a_fault_is_raised_where_more_is_given_or_waited_for_and_said_once():
    def fails(_):
        raise OSError("no room")

    behind = Behind(fails, backlog=4, pace=0.0)
    behind.give("a")
    with pytest.raises(OSError, match="no room"):
        behind.wait()
    behind.wait()
    behind.give("a")
    time.sleep(0.1)
    with pytest.raises(OSError, match="no room"):
        behind.give("b")
