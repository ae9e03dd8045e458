"""Is a homogeneous set reported as homogeneous? `cryosway linear` on apoferritin (6Z6U).

All images show one structure, so every direction that is called significant is a false alarm.

    python benchmarks/homogeneous.py --seeds 0 1 2
"""

import argparse
from dataclasses import asdict
from typing import Any

from _datasets import build_apoferritin
from _measure import make_parser, method_command, parse_options, write_result

import cryosway as cs
from cryosway.engine import run_measured

Run = dict[str, Any]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the method")
    parser.add_argument("--option", nargs="*", default=[], help="of linear, as null_tests=2")
    return parser.parse_args()


def measure(seed: int, arguments: argparse.Namespace) -> Run:
    """Run the method with a seed."""
    made = build_apoferritin(arguments.cache, n=arguments.images, data=arguments.data)
    out = arguments.cache / "jobs" / f"homogeneous_{made.path.name}_{seed}"
    options = {"seed": seed, **parse_options(arguments.option)}
    command = method_command("linear", made.particles, out, options, arguments.threads)
    cost = run_measured(command, out.with_suffix(".log"), arguments.threads)
    info = cs.open_job(out).info
    return {
        "seed": seed,
        "images": arguments.images,
        **asdict(cost),
        "resolution_angstrom": info.get("resolution_angstrom"),
        **info["heterogeneity"],
    }


def print_run(run: Run) -> None:
    """Print the verdict and every direction."""
    cost = f"{run['wall_s']:.0f} s, CPU {run['cpu_s']:.0f} s"
    print(f"\nseed {run['seed']}: {run['verdict']}; {cost}")
    print("  direction  variance  in noise alone  p-value   (variances over the mean map's power)")
    for number, found in enumerate(run["directions"], start=1):
        print(
            f"  {number:9d}  {found['variance_explained']:8.5f}  {found['noise_alone']:14.5f}"
            f"  {found['p_value']:7.3f}"
        )


def main() -> None:
    """Run every seed, print and write the result."""
    arguments = parse_arguments()
    runs = []
    for seed in arguments.seeds:
        runs.append(measure(seed, arguments))
        print_run(runs[-1])
    result = {"options": parse_options(arguments.option), "runs": runs}
    write_result(arguments.results, "homogeneous", result)


if __name__ == "__main__":
    main()
