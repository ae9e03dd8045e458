"""Progress with the time that is left: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from cryosway.engine._console import LOGGER, get_terminal

if TYPE_CHECKING:
    import rich.progress

LINE_SECONDS = 10.0
LOG_SECONDS = 30.0


def format_duration(seconds: float) -> str:
    """Write a duration as people say it.

    Parameters
    ----------
    seconds : float
        The duration.

    Returns
    -------
    str
        Two units at most.

    Examples
    --------
    >>> format_duration(4.2), format_duration(75), format_duration(7300)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def show_stage(label: str) -> Iterator[None]:
    """Say that a stage of the work begins, and when it is done how long it took."""
    LOGGER.info("%s ...", label)
    start = time.monotonic()
    yield
    LOGGER.info("%s: %s", label, format_duration(time.monotonic() - start))


@final
class Progress:
    """Counts what is done, and says now and then how long the rest will take.

    Parameters
    ----------
    total : int
        How many steps there are.
    label : str
        What is being done, as "E-step 3 of 8".
    done : int, optional
        Steps that an earlier run did; they do not count for the speed.
    write_log : callable, optional
        Takes a line for the log file, at most every 30 s.
    clock : callable, optional
        Gives seconds.

    Examples
    --------
    >>> with Progress(3, "squares") as progress:
    ...     for _ in range(3):
    ...         progress.advance()
    >>> progress.describe()
    'squares: 3 of 3 (100 %), 0 s'
    """

    def __init__(
        self,
        total: int,
        label: str,
        *,
        done: int = 0,
        write_log: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.label, self.done = total, label, done
        self._first, self._write_log, self._clock = done, write_log, clock
        self._start = self._last_line = self._last_log = clock()
        self._bar = _Bar.open(total, label, done)

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more steps."""
        self.done += n
        now = self._clock()
        if self._bar is not None:
            self._bar.show(self.done)
        elif now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            LOGGER.info("%s", self.describe())
        if self._write_log is not None and now - self._last_log >= LOG_SECONDS:
            self._last_log = now
            self._write_log(self.describe())
        if self.done >= self.total:
            self.close()

    def rename(self, label: str) -> None:
        """Say from now on that something else is being done, as "epoch 2 of 8"."""
        self.label = label
        if self._bar is not None:
            self._bar.rename(label)

    def describe(self) -> str:
        """Say in one line how far the work is and how long the rest will take."""
        elapsed = self._clock() - self._start
        share = 100 * self.done // max(self.total, 1)
        line = f"{self.label}: {self.done} of {self.total} ({share} %), {format_duration(elapsed)}"
        now_done = self.done - self._first
        if now_done <= 0 or self.done >= self.total:
            return line
        left = elapsed * (self.total - self.done) / now_done
        return f"{line}, {format_duration(left)} left"

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@final
class _Bar:
    """One line of the live display that all bars of the process share."""

    _display: "rich.progress.Progress | None" = None
    _open = 0

    def __init__(self, task: Any) -> None:
        self._task = task

    @classmethod
    def open(cls, total: int, label: str, done: int) -> "_Bar | None":
        terminal = get_terminal()
        if terminal is None:
            return None
        if cls._display is None:
            import rich.progress as rp

            columns = (
                rp.TextColumn("{task.description}"),
                rp.BarColumn(),
                rp.MofNCompleteColumn(),
                rp.TimeElapsedColumn(),
                rp.TimeRemainingColumn(),
            )
            cls._display = rp.Progress(*columns, console=terminal, transient=True)
            cls._display.start()
        cls._open += 1
        return cls(cls._display.add_task(label, total=total, completed=done))

    def show(self, done: int) -> None:
        if _Bar._display is not None:
            _Bar._display.update(self._task, completed=done)

    def rename(self, label: str) -> None:
        if _Bar._display is not None:
            _Bar._display.update(self._task, description=label, refresh=True)

    def close(self) -> None:
        if _Bar._display is None:
            return
        _Bar._display.remove_task(self._task)
        _Bar._open -= 1
        if _Bar._open == 0:
            _Bar._display.stop()
            _Bar._display = None
