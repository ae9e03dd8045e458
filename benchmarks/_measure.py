"""Run a command and measure what it cost; name the machine; write the results.

Run as a script, this file starts one command and writes what it cost. The detour matters: Linux
lets a child inherit the peak memory of the process that started it, and this one has next to none.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CACHE = RESULTS / "raw"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_PACKAGES = ("cryosway", "torch", "numpy", "numba")


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
        Gets what it prints.
    threads
        Limit for every numerical library; none by default.

    Raises
    ------
    SystemExit
        When it fails, with the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    answer = log.with_suffix(".cost.json")
    limits = {} if threads is None else thread_limits(threads)
    measured = [sys.executable, str(Path(__file__).resolve()), str(answer), str(log), *command]
    code = subprocess.run(measured, env=os.environ | limits, check=False).returncode
    if code:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return Cost(**json.loads(answer.read_text()))


def thread_limits(threads: int) -> dict[str, str]:
    """Environment that keeps every numerical library to some threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def recall_cost(log: Path) -> Cost | None:
    """What an earlier run with the same log cost, if there was one."""
    answer = log.with_suffix(".cost.json")
    return Cost(**json.loads(answer.read_text())) if answer.exists() else None


def _run_and_note(answer: Path, log: Path, command: list[str]) -> int:
    start, busy = time.perf_counter(), _busy_seconds()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall, own, later = time.perf_counter() - start, usage.ru_utime + usage.ru_stime, _busy_seconds()
    others = None if busy is None or later is None else max(0.0, later - busy - own)
    unit = 1 if sys.platform == "darwin" else 1024
    answer.write_text(json.dumps(asdict(Cost(wall, own, usage.ru_maxrss * unit / 1e6, others))))
    return process.returncode


def _busy_seconds() -> float | None:
    """CPU seconds that all programs together have used since the machine started."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    user, nice, system, _, _, irq, softirq = map(int, path.read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def method_command(
    method: str, particles: Path, out: Path, options: dict[str, Any], threads: int | None
) -> list[str]:
    """Command line of a cryosway method, in a folder that is overwritten."""
    command = [sys.executable, "-m", "cryosway.cli", method, str(particles), "--out", str(out)]
    command += [part for name, value in options.items() for part in _name_option(name, value)]
    command += [] if threads is None else ["--threads", str(threads)]
    return [*command, "--overwrite", "--no-resume"]


def _name_option(name: str, value: Any) -> tuple[str, ...]:
    """Give an option as on the command line; true and false are switches."""
    dashed = name.replace("_", "-")
    switches = {"true": f"--{dashed}", "false": f"--no-{dashed}"}
    found = switches.get(str(value).lower())
    return (found,) if found else (f"--{dashed}", str(value))


def describe_machine() -> dict[str, str | int | float | None]:
    """Name the machine: processor, CPUs, memory, system and versions."""
    import importlib.metadata

    from cryosway.engine import count_cpus

    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _read_cpu_name(),
        "cpus": count_cpus(),
        "memory_gb": round(memory / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
    }


def _read_cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON results")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of data sets and jobs")
    parser.add_argument("--data", type=Path, help="source files (else CRYOSWAY_BENCH_DATA)")
    parser.add_argument("--threads", type=int, help="CPU threads; default: all")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def parse_options(pairs: list[str]) -> dict[str, str]:
    """Turn ``name=value`` arguments into options of a method."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise SystemExit(f"options are given as name=value, not {wrong[0]}")
    return dict(pair.split("=", 1) for pair in pairs)


def write_result(folder: Path, name: str, payload: dict[str, Any]) -> Path:
    """Write one benchmark's result, with the machine and the time."""
    from cryosway.engine import write_json

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    when = time.strftime("%Y-%m-%d", time.gmtime())
    write_json(path, {"benchmark": name, "date": when, "machine": describe_machine(), **payload})
    print(f"wrote {path}")
    return path


if __name__ == "__main__":
    sys.exit(_run_and_note(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
