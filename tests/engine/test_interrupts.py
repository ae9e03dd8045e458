import signal
import threading

import pytest

from cryosway.engine import Terminated, terminate_as_exception
from cryosway.engine._interrupts import hold_interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_waits_for_the_end_of_the_block(number):
    done = []
    with pytest.raises((KeyboardInterrupt, Terminated)), terminate_as_exception():
        with hold_interrupts() as pending:
            signal.raise_signal(number)
            signal.raise_signal(number)
            done.append(list(pending))
        done.append("after")
    assert done == [[number, number]]


def test_second_signal_acts_at_once_where_it_may():
    done = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts(once=True) as pending:
        signal.raise_signal(signal.SIGINT)
        done.append(list(pending))
        signal.raise_signal(signal.SIGINT)
        done.append("after")
    assert done == [[signal.SIGINT]]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with hold_interrupts() as pending:
            signal.raise_signal(signal.SIGHUP)
        assert pending == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_have_nothing_to_hold():
    seen = []

    def work():
        with hold_interrupts(once=True) as pending:
            seen.append(pending)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]
