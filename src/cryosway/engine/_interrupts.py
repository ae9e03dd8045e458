"""Polite ends: SIGTERM and SIGHUP as exceptions, so that a job can note that it was interrupted."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

from cryosway._errors import CryoswayError

_POLITE = (signal.SIGTERM, signal.SIGHUP)


@final
class Terminated(SystemExit):
    """The process was asked to end; the exit status is 128 plus the signal's number."""


@final
class TimeLimitError(CryoswayError):
    """The time that the user gave is up; the job is interrupted and can go on."""


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated(128 + number)


@contextmanager
def terminate_as_exception() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGHUP inside the block.

    Handlers that the program has set itself, ignored signals (nohup) and threads other than the
    main one are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [number for number in _POLITE if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _raise_terminated)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def hold_interrupts(*, once: bool = False) -> Iterator[list[int]]:
    """Put SIGINT, SIGTERM and SIGHUP off until the block has ended.

    Handlers are exchanged, since a mask of the main thread would let other threads (OpenMP)
    receive the signal for it.

    Parameters
    ----------
    once : bool, optional
        Whether a second signal acts at once, so that somebody in a hurry is not held up.

    Yields
    ------
    list of int
        Numbers of the signals that came so far, for a block that looks at it and leaves.
    """
    pending: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    held = (signal.SIGINT, *_POLITE)
    before = {number: handler for number in held if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> None:
        if once and pending:
            before[signal.Signals(number)](number, frame)
        pending.append(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for received in pending:
            signal.raise_signal(received)
