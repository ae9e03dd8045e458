"""The entry point: exit status 0, 1 (a bug, with its traceback), 2 (a mistake, in a sentence)."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway._version import __version__

if TYPE_CHECKING:
    from cyclopts import App

MISTAKE = 2
TIME_IS_UP = 75  # EX_TEMPFAIL: a job script may run the same command again
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status: 0; 2 for a user's mistake; 75 when a time limit stopped a job that can
        go on; 130 when interrupted. Unexpected exceptions pass, so that Python prints the
        traceback and exits with 1.

    Examples
    --------
    >>> main(["--version"])
    cryosway 0...
    0
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments in (["--version"], ["-V"]):
        print(f"cryosway {__version__}")
        return 0
    show_warning, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        return _run(arguments)
    except CryoswayError as error:
        from cryosway.engine import TimeLimitError

        if isinstance(error, TimeLimitError):
            _say(str(error))
            return TIME_IS_UP
        _say(f"error: {error}")
        return MISTAKE
    except KeyboardInterrupt:
        _say("interrupted; the same command goes on where it stopped")
        return INTERRUPTED
    finally:
        warnings.showwarning = show_warning


def _run(arguments: list[str]) -> int:
    from cyclopts import CycloptsError

    from cryosway.cli._processes import count_processes, run_processes
    from cryosway.engine import Terminated, show_messages

    count = count_processes(arguments)
    if count > 1:
        return run_processes(arguments, count)
    app = build_app(arguments)
    show_messages()
    try:
        result = app(arguments)
    except CycloptsError as error:
        _say(f"error: {str(error).strip()}")
        _say(f"see: {' '.join(['cryosway', *_command_names(arguments)])} --help")
        return MISTAKE
    except Terminated as error:
        _say("terminated; the same command goes on where it stopped")
        return int(str(error.code))
    return _show_result(result)


def build_app(arguments: Sequence[str]) -> "App":
    """Make the application; only the command that ``arguments`` name is built in full."""
    from cyclopts import App

    from cryosway.cli._commands import COMMANDS, GROUPS

    app = App(
        name="cryosway",
        help="From cryo-EM particle images to a conformational landscape.",
        version=f"cryosway {__version__}",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        help_format="plaintext",
        result_action="return_value",
    )
    groups = {
        name: App(name=name, help=text, sort_key=_find_place(name)) for name, text in GROUPS.items()
    }
    for group in groups.values():
        app.command(group)
    for place, command in enumerate(COMMANDS):
        if set(command.words) <= set(arguments):
            from cryosway.cli._build import build_command

            function = build_command(command)
        else:
            function = _make_stub(command.summary)
        parent = groups[command.words[0]] if len(command.words) > 1 else app
        parent.command(function, name=command.words[-1], sort_key=place)
    return app


def _find_place(group: str) -> int:
    """Find the place of a group among the commands: that of its first."""
    from cryosway.cli._commands import COMMANDS

    return [command.words[0] for command in COMMANDS].index(group)


def _make_stub(summary: str) -> Any:
    def stub() -> None:
        pass

    stub.__doc__ = summary
    return stub


def _command_names(arguments: Sequence[str]) -> list[str]:
    """Give the words at the start of an argument list that name a command or a group."""
    from cryosway.cli._commands import COMMANDS

    known = {command.words[: n + 1] for command in COMMANDS for n in range(len(command.words))}
    longest = max((n for n in (1, 2) if tuple(arguments[:n]) in known), default=0)
    return list(arguments[:longest])


def _show_result(result: Any) -> int:
    """Print where the result is, its report last; a whole number is an exit status."""
    if isinstance(result, int):
        return result
    path = getattr(result, "path", result)
    if isinstance(path, Path) and path.name == "report.html":
        print(f"report: {path}")
    elif isinstance(path, Path):
        print(f"result: {path}")
        if (path / "report.html").exists():
            print(f"report: {path / 'report.html'}")
    elif isinstance(path, list):
        print("\n".join(str(entry) for entry in path))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what concerns the user in a line; what concerns developers as Python does."""
    if issubclass(category, CryoswayWarning):
        _say(f"warning: {message}")
    else:
        _say(warnings.formatwarning(message, category, filename, lineno, line).rstrip())
