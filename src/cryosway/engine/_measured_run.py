"""Run a command in a process of its own and measure what it cost.

Run as a script, this file starts one command and writes what it cost. The detour matters: Linux
lets a child inherit the peak memory of the process that started it, and this one has next to none.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_TOLD = 3000  # characters of the log that an error shows


@dataclass(frozen=True)
class Cost:
    """What a command cost.

    Attributes
    ----------
    wall_s, cpu_s
        Seconds; CPU time is that of all threads and children.
    peak_memory_mb
        Largest resident set, MB of 10⁶ bytes.
    others_cpu_s
        CPU seconds that other programs took meanwhile: where they are many, wall time says little.
        None where the system does not tell.
    """

    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    others_cpu_s: float | None


def run_measured(command: list[str], log: Path, threads: int | None = None) -> Cost:
    """Run a command to its end.

    Parameters
    ----------
    command
        Program and arguments.
    log
        Gets what it prints; beside it, ``….cost.json`` keeps the cost.
    threads
        Limit for every numerical library; none by default.

    Raises
    ------
    CryoswayError
        When it fails, with the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    answer = log.with_suffix(".cost.json")
    limits = {} if threads is None else thread_limits(threads)
    measured = [sys.executable, str(Path(__file__).resolve()), str(answer), str(log), *command]
    code = subprocess.run(measured, env=os.environ | limits, check=False).returncode
    if code:
        from cryosway._errors import CryoswayError

        raise CryoswayError(f"{' '.join(command)} failed; {log} ends:\n{log.read_text()[-_TOLD:]}")
    return Cost(**json.loads(answer.read_text()))


def recall_cost(log: Path) -> Cost | None:
    """Give what an earlier run with the same log cost, if there was one."""
    answer = log.with_suffix(".cost.json")
    return Cost(**json.loads(answer.read_text())) if answer.exists() else None


def thread_limits(threads: int) -> dict[str, str]:
    """Give the environment that keeps every numerical library to some threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def _run_and_note(answer: Path, log: Path, command: list[str]) -> int:
    """Run a command; write its cost only if it ends well."""
    answer.unlink(missing_ok=True)
    start, busy = time.perf_counter(), _busy_seconds()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:  # the command has got it, too
            process.wait()
            return 130
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        return abs(process.returncode)
    wall, own, later = time.perf_counter() - start, usage.ru_utime + usage.ru_stime, _busy_seconds()
    others = None if busy is None or later is None else max(0.0, later - busy - own)
    unit = 1 if sys.platform == "darwin" else 1024
    cost = Cost(wall, own, usage.ru_maxrss * unit / 1e6, others)
    answer.write_text(json.dumps(asdict(cost)))
    return 0


def _busy_seconds() -> float | None:
    """Give the CPU seconds that all programs together have used since the machine started."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    user, nice, system, _, _, irq, softirq = map(int, path.read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(_run_and_note(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
