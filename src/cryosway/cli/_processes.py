"""``--gpus N``: the same command in N processes of this machine, one per GPU.

On a cluster, torchrun or srun start the processes instead.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from cryosway._errors import CryoswayError
from cryosway.cli._commands import COMMANDS

_OPTION = "--gpus"
_LOOK_S = 0.2
_GRACE_S = 120.0  # for a checkpoint, once one of the processes has ended


def count_processes(arguments: Sequence[str]) -> int:
    """Read how many processes a command line asks for.

    Examples
    --------
    >>> count_processes(["vae", "particles.star", "--gpus", "4"])
    4
    >>> count_processes(["linear", "particles.star"])
    1
    """
    given = [command for command in COMMANDS if command.is_named(arguments)]
    if "RANK" in os.environ or not given or "gpus" not in given[0].controls:
        return 1
    value = _split_option(arguments)[1]
    if value is None:
        return 1
    if not value.isdigit() or int(value) < 1:
        message = f"{_OPTION} is {value!r}: give the number of GPUs"
        raise CryoswayError(message)
    return int(value)


def run_processes(arguments: Sequence[str], count: int) -> int:
    """Run a command in several processes; give the exit status of the first that fails."""
    shared = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(_find_port()),
    }
    command = [sys.executable, "-m", "cryosway.cli", *_split_option(arguments)[0]]
    processes = []
    for rank in range(count):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), **shared}
        quiet = {} if rank == 0 else {"stdout": subprocess.DEVNULL}
        processes.append(
            subprocess.Popen(command, env={**os.environ, **place}, **quiet)  # type: ignore[call-overload]
        )

    def forward(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _wait(processes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: list["subprocess.Popen[bytes]"]) -> int:
    """Wait for all; where one fails, end the others."""
    deadline = None
    status = 0
    while None in [process.poll() for process in processes]:
        failed = [process.returncode for process in processes if process.returncode]
        if failed and deadline is None:
            status, deadline = failed[0], time.monotonic() + _GRACE_S
            for process in processes:
                process.terminate()
        if deadline is not None and time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(_LOOK_S)
    return status or next((p.returncode for p in processes if p.returncode), 0)


def _split_option(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Take the option out of a command line; give the rest, and its value."""
    rest, value = [], None
    words = iter(arguments)
    for word in words:
        if word == _OPTION:
            value = next(words, "")
        elif word.startswith(_OPTION + "="):
            value = word.partition("=")[2]
        else:
            rest.append(word)
    return rest, value


def _find_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])
