"""Time and memory of `cryosway linear` as the number of images grows.

Each size is a data set of its own (adenylate kinase, 64 px, SNR 0.03) and a process of its own.
The exponent is the slope of log CPU time over log N: at most 1 where time grows linearly.

    python benchmarks/scaling.py --sizes 10000 30000 100000
"""

import argparse
import shutil
from dataclasses import asdict
from typing import Any

import numpy as np
from _datasets import build_adk
from _measure import make_parser, method_command, parse_options, write_result

import cryosway as cs
from cryosway.engine import run_measured

Run = dict[str, Any]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 30_000, 100_000))
    parser.add_argument("--snr", type=float, default=0.03)
    parser.add_argument("--option", nargs="*", default=[], help="of linear, as null_tests=2")
    parser.add_argument("--keep", action="store_true", help="keep the jobs' folders")
    return parser.parse_args()


def measure(count: int, arguments: argparse.Namespace) -> Run:
    """Time one size."""
    made = build_adk(arguments.cache, snr=arguments.snr, n=count, data=arguments.data)
    out = arguments.cache / "jobs" / f"scaling_{made.path.name}"
    options = {"seed": arguments.seed, **parse_options(arguments.option)}
    command = method_command("linear", made.particles, out, options, arguments.threads)
    cost = run_measured(command, out.with_suffix(out.suffix + ".log"), arguments.threads)
    job = cs.open_job(out)
    run = {
        "images": count,
        "components": job.latents.shape[1],
        "passes": len((out / "metrics.csv").read_text().splitlines()) - 1,
        "timings": job.info.get("timings", {}),
        **asdict(cost),
    }
    if not arguments.keep:
        shutil.rmtree(out)
    return run


def fit_exponents(runs: list[Run]) -> dict[str, float]:
    """Slopes of log cost over log N; of CPU time also between the two largest sizes alone."""
    if len(runs) < 2:
        return {}
    sizes = np.log([run["images"] for run in runs])
    found = {}
    for what in ("wall_s", "cpu_s", "peak_memory_mb"):
        values = [run[what] for run in runs]
        found[what] = float(np.polyfit(sizes, np.log(values), 1)[0])
    before, last = sorted(runs, key=lambda run: run["images"])[-2:]
    growth, more = last["cpu_s"] / before["cpu_s"], last["images"] / before["images"]
    found["cpu_s_at_the_end"] = float(np.log(growth) / np.log(more))
    found["cpu_s_per_1000_more"] = (
        1000 * (last["cpu_s"] - before["cpu_s"]) / (last["images"] - before["images"])
    )
    return found


def print_table(runs: list[Run], exponents: dict[str, float]) -> None:
    """Print every size and the exponents."""
    print("\n  images  components  passes    wall s     CPU s  peak MB   CPU s per 1000")
    for run in runs:
        print(
            f"{run['images']:8d}  {run['components']:10d}  {run['passes']:6d}  {run['wall_s']:8.1f}"
            f"  {run['cpu_s']:8.1f}  {run['peak_memory_mb']:7.0f}"
            f"  {1000 * run['cpu_s'] / run['images']:15.2f}"
        )
    if exponents:
        print(
            f"exponent in N: CPU {exponents['cpu_s']:.2f} (between the two largest "
            f"{exponents['cpu_s_at_the_end']:.2f}), wall {exponents['wall_s']:.2f}, memory "
            f"{exponents['peak_memory_mb']:.2f}; the last 1000 images cost "
            f"{exponents['cpu_s_per_1000_more']:.2f} CPU s"
        )


def main() -> None:
    """Time every size, print and write the result."""
    arguments = parse_arguments()
    runs: list[Run] = []
    for count in sorted(arguments.sizes):
        runs.append(measure(count, arguments))
        exponents = fit_exponents(runs)
        print_table(runs, exponents)
        result = {"options": parse_options(arguments.option), "snr": arguments.snr}
        write_result(arguments.results, "scaling", {**result, "runs": runs, "exponents": exponents})


if __name__ == "__main__":
    main()
