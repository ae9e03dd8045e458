"""Polite ends: SIGTERM and SIGHUP as exceptions, so that a job can note that it was interrupted."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

_POLITE = (signal.SIGTERM, signal.SIGHUP)


@final
class Terminated(SystemExit):
    """The process was asked to end; the exit status is 128 plus the signal's number."""


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
def hold_interrupts() -> Iterator[None]:
    """Put SIGINT, SIGTERM and SIGHUP off until the block, which is short, has ended.

    Handlers are exchanged, since a mask of the main thread would let other threads (OpenMP)
    receive the signal for it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_POLITE)}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, lambda number, _: pending.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
        for received in pending:
            signal.raise_signal(received)
