"""What is written behind is written: all of it, in order where the name is the same, and faults come to light."""

import threading
import time

import pytest

from sweeps.behind import Behind


def test_all_is_done_and_those_of_one_name_in_order():
    behind, seen = Behind(4, 6), []
    for number in range(60):
        behind.give(number % 3, lambda number=number: (time.sleep(0.001 * (number % 5)), seen.append(number)))
    behind.wait()
    assert sorted(seen) == list(range(60))
    for name in range(3):
        assert [number for number in seen if number % 3 == name] == list(range(name, 60, 3))


def test_several_at_a_time_but_no_more_than_the_backlog():
    behind, door, entered = Behind(2, 3), threading.Event(), threading.Semaphore(0)

    def held():
        entered.release()
        assert door.wait(10)

    for name in range(3):
        behind.give(name, held)
    assert entered.acquire(timeout=10)  # both threads are at it at once
    assert entered.acquire(timeout=10)
    assert not entered.acquire(timeout=0.05)
    fourth = threading.Thread(target=behind.give, args=(3, held))
    fourth.start()
    fourth.join(0.1)
    assert fourth.is_alive()  # the backlog is full: whoever gives more waits
    door.set()
    fourth.join(10)
    assert not fourth.is_alive()
    behind.wait()


def test_a_fault_is_raised_where_more_is_given_or_waited_for():
    def fails():
        raise OSError("no room")

    behind = Behind(2, 4)
    behind.give("a", fails)
    with pytest.raises(OSError, match="no room"):
        behind.wait()
    behind.wait()  # said once
    behind.give("a", fails)
    with pytest.raises(OSError, match="no room"):
        behind.give("a", lambda: None)
