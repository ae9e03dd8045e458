"""Command lines of methods and of benchmarks; the name of the machine; results as files."""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CACHE = RESULTS / "raw"
_PACKAGES = ("cryosway", "torch", "numpy", "numba")


def method_command(
    method: str, particles: Path, out: Path, options: dict[str, Any], threads: int | None
) -> list[str]:
    """Command line of a cryosway method, in a folder that is overwritten."""
    command = [sys.executable, "-m", "cryosway.cli", method, str(particles), "--out", str(out)]
    command += [part for name, value in options.items() for part in _name_option(name, value)]
    command += [] if threads is None else ["--threads", str(threads)]
    return [*command, "--overwrite", "--no-resume"]


def run_command(words: list[str], threads: int | None) -> None:
    """Run a command of cryosway, which goes on where it was stopped."""
    threaded = [] if threads is None else ["--threads", str(threads)]
    subprocess.run([sys.executable, "-m", "cryosway.cli", *words, *threaded], check=True)


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
