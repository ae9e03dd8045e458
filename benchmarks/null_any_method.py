"""Does the null test of `cryosway validate` tell motion from noise, for any method?

Ten homogeneous sets (closed adenylate kinase and apoferritin, five seeds each; poses in error by
2°), in which every direction that is called significant is a false alarm; and five of adenylate
kinase opening at SNR 0.03, in which the first direction should be found. The method is fitted, and
then fitted again to homogeneous copies of its data; small images and networks, since that is done
sixty times: about half an hour on one core. Stopped, it goes on where it was.

    python benchmarks/null_any_method.py --method vae
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _datasets import find_data
from _measure import make_parser, run_command, write_result

import cryosway as cs
from cryosway.engine import read_json
from cryosway.simulate import SimulatedSet, adenylate_kinase_states, simulate

BOX, PIXEL_SIZE = 32, 5.0
IMAGES = {"kinase": 1_000, "apoferritin": 1_000, "opening": 3_000}
SNR = {"kinase": 0.1, "apoferritin": 0.1, "opening": 0.03}
STATES = 10
SMALL = {
    "linear": ["--null-tests", "0", "--components", "2"],
    "vae": [
        "--epochs", "4", "--latent-dim", "2", "--width", "32", "--layers", "2", "--encoder-width",
        "64", "--encoder-layers", "1", "--precision", "float32", "--loader-threads", "0",
    ],
    "autodecoder": [
        "--epochs", "4", "--latent-dim", "2", "--width", "32", "--layers", "2", "--precision",
        "float32", "--loader-threads", "0",
    ],
}  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--method", choices=sorted(SMALL), default="vae")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--kinds", nargs="+", choices=sorted(IMAGES), default=list(IMAGES))
    parser.add_argument("--images", type=int, help="of every set; default: 1,000, opening 3,000")
    parser.add_argument("--nulls", type=int, default=3)
    return parser.parse_args()


def build_set(kind: str, seed: int, arguments: argparse.Namespace) -> SimulatedSet:
    """Simulate a set; homogeneous ones with errors of 2° in their poses."""
    states: Any = adenylate_kinase_states(STATES if kind == "opening" else 2)
    if kind == "kinase":
        states = states[:1]
    if kind == "apoferritin":
        states = find_data(arguments.data) / "models" / "6z6u.pdb.gz"
    count = arguments.images or IMAGES[kind]
    return simulate(
        states,
        arguments.cache / f"null_{kind}_n{count}_{seed}",
        n=count,
        box=BOX,
        pixel_size=PIXEL_SIZE,
        snr=SNR[kind],
        seed=seed,
        shift=10.0,
        angle_error=0.0 if kind == "opening" else 2.0,
        threads=arguments.threads,
    )


def measure(kind: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit the method to a set, and validate it."""
    made, method = build_set(kind, seed, arguments), arguments.method
    job = arguments.cache / "jobs" / f"{made.path.name}_{method}"
    checked = job.with_name(f"{job.name}_checked")
    job.parent.mkdir(parents=True, exist_ok=True)
    fit = [method, str(made.particles), "--out", str(job), "--seed", str(seed), *SMALL[method]]
    run_command(fit, arguments.threads)
    check = ["validate", str(job), "--out", str(checked), "--parts", "null"]
    run_command([*check, "--nulls", str(arguments.nulls)], arguments.threads)
    found = read_json(checked / "validation.json")["parts"]["null"]
    return {
        "kind": kind,
        "seed": seed,
        "verdict": found["verdict"],
        **found["directions"][0],
        "job_s": cs.open_job(job).info["timings"]["total"],
        "validate_s": cs.open_job(checked).info["timings"]["total"],
    }


def list_runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure set after set, and print each."""
    print("  set          seed  variance  noise alone  p-value  verdict")
    for kind in arguments.kinds:
        for seed in arguments.seeds:
            run = measure(kind, seed, arguments)
            print(
                f"  {kind:12s} {seed:4d}  {run['variance_explained']:8.5f}  "
                f"{run['noise_alone']:11.5f}  {run['p_value']:7.4f}  {run['verdict']}",
                flush=True,
            )
            yield run


def summarise(runs: list[dict[str, Any]]) -> dict[str, int]:
    """Count false alarms at the 5 % level and by verdict, and motions that were found."""
    still = [run for run in runs if run["kind"] != "opening"]
    moving = [run for run in runs if run["kind"] == "opening"]
    found = "heterogeneity found"
    return {
        "homogeneous": len(still),
        "false_alarms_5_percent": sum(run["p_value"] < 0.05 for run in still),
        "false_verdicts": sum(run["verdict"] == found for run in still),
        "moving": len(moving),
        "moving_5_percent": sum(run["p_value"] < 0.05 for run in moving),
        "moving_found": sum(run["verdict"] == found for run in moving),
    }


def main() -> None:
    """Measure all sets, print and write the result."""
    arguments = parse_arguments()
    Path(arguments.cache).mkdir(parents=True, exist_ok=True)
    runs = list(list_runs(arguments))
    summary = summarise(runs)
    print(summary)
    result = {"method": arguments.method, "nulls": arguments.nulls, "summary": summary}
    write_result(arguments.results, f"null_{arguments.method}", {**result, "runs": runs})


if __name__ == "__main__":
    main()
