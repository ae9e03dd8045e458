"""Messages for people: a logger that is silent in libraries and shown by the command line."""

import logging
import sys
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from rich.console import Console

LOGGER = logging.getLogger("cryosway")
LOGGER.addHandler(logging.NullHandler())

_console: "Console | None" = None


def get_terminal() -> "Console | None":
    """Give the rich console when messages are shown on a terminal, else None."""
    return _console


def show_messages(level: int = logging.INFO) -> None:
    """Show the messages and progress of jobs on stderr: rich on a terminal, else plain lines.

    The command line does so; a script or notebook that wants to see progress calls it once.

    Parameters
    ----------
    level : int, optional
        The least level of `logging` to show.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.show_messages()  # doctest: +SKIP
    """
    global _console
    LOGGER.setLevel(level)
    if any(isinstance(handler, _StderrHandler) for handler in LOGGER.handlers):
        return
    if sys.stderr.isatty():
        from rich.console import Console

        _console = Console(stderr=True)
    LOGGER.addHandler(_StderrHandler())


@final
class _StderrHandler(logging.Handler):
    """Print above a live progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if _console is not None:
                _console.print(self.format(record), markup=False, highlight=False)
            else:
                sys.stderr.write(self.format(record) + "\n")
        except OSError:  # the terminal is gone; the log file has the message
            pass
