"""Does `cryosway validate --parts support` believe what a wrong model makes up?

Images of adenylate kinase on its way from closed to open, small and clear. `structural` starts from
the right model, and from wrong ones: without the LID, with the LID turned by 40°, with a second LID
where there is none. Every feature of three states is looked for in the images. How much of it they
truly have is known: the slope of what the true maps have, particle by particle, on what the model
foretells; 1 is all. Called supported with less than 0.15 (half of what the verdict asks for) is a
false alarm; called not supported with more than 0.5, a miss. Stopped, it goes on where it was.

    python benchmarks/support_wrong_prior.py --priors missing --seeds 0
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from _measure import make_parser, parse_options, run_command, write_result
from scipy.spatial.transform import Rotation

import cryosway as cs
from cryosway.engine import read_json
from cryosway.optics import resize_volumes
from cryosway.particles import read_map
from cryosway.protein import AtomTable, write_structure
from cryosway.simulate import SimulatedSet, adenylate_kinase_states, simulate
from cryosway.simulate._adenylate_kinase import LID, select_ranges

FloatArray = npt.NDArray[np.float64]

PRIORS = ("right", "missing", "turned", "added")
BOX, PIXEL_SIZE, STATES, MIDDLE = 32, 3.5, 5, 2
TURN, BESIDE = 40.0, 1.8  # degrees; of the LID's distance from the centre, on the other side
NOT_THERE, THERE = 0.15, 0.5  # true amplitude


def make_priors(atoms: AtomTable) -> dict[str, AtomTable]:
    """Make the right model and the wrong ones."""
    lid = select_ranges(atoms, LID)
    x = atoms.coordinates
    middle = x[lid].mean(0)
    turn = Rotation.from_euler("xyz", [TURN, 0, 0], degrees=True)
    turned = x.copy()
    turned[lid] = turn.apply(x[lid] - middle) + middle
    second = atoms[lid].with_coordinates(x[lid] - (1 + BESIDE) * middle)
    second.chains[:] = "X"
    return {
        "right": atoms,
        "missing": atoms[~lid],
        "turned": atoms.with_coordinates(turned),
        "added": AtomTable.concatenate([atoms, second]),
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--priors", nargs="+", choices=PRIORS, default=list(PRIORS))
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--snr", type=float, default=0.3)
    parser.add_argument("--option", nargs="*", default=[], help="of structural, as epochs=10")
    return parser.parse_args()


def build_set(seed: int, arguments: argparse.Namespace) -> tuple[SimulatedSet, AtomTable]:
    """Simulate a set; give the atoms of its middle state as they lie in the images."""
    states = adenylate_kinase_states(STATES)
    centres = [np.average(s.coordinates, axis=0, weights=s.atomic_numbers) for s in states]
    states = [s.with_coordinates(s.coordinates - np.mean(centres, axis=0)) for s in states]
    made = simulate(
        states,
        arguments.cache / f"prior_n{arguments.images}_snr{arguments.snr:g}_{seed}",
        n=arguments.images,
        box=BOX,
        pixel_size=PIXEL_SIZE,
        snr=arguments.snr,
        seed=seed,
        superpose=False,
        threads=arguments.threads,
    )
    return made, states[MIDDLE]


def find_true_amplitudes(checked: Path, made: SimulatedSet, count: int) -> FloatArray:
    """Tell how much of each feature the images have of what is foretold, shape (count,)."""
    true = torch.stack([torch.from_numpy(read_map(path)[0].copy()) for path in made.volumes])
    states = made.truth()["state"].to_numpy(np.int64)
    table, found = cs.open_job(checked).particles, np.zeros(count)
    for n in range(count):
        feature = torch.from_numpy(read_map(checked / f"features/feature_{n + 1}.mrc")[0].copy())
        volumes = resize_volumes(true, len(feature))
        amounts = (volumes * feature).flatten(1).sum(1) / feature.square().sum()
        has = amounts.double().numpy()[states]
        expected = table[f"feature{n + 1}_expected"].to_numpy(np.float64)
        found[n] = np.polyfit(expected, has, 1)[0]
    return found


def measure(prior: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit a model to a set, and look for its features in the images."""
    made, atoms = build_set(seed, arguments)
    model = made.path / f"{prior}.cif"
    write_structure(model, make_priors(atoms)[prior])
    job = arguments.cache / "jobs" / f"{made.path.name}_{prior}"
    checked = job.with_name(f"{job.name}_checked")
    job.parent.mkdir(parents=True, exist_ok=True)
    fit = ["structural", str(made.particles), "--out", str(job), "--model", str(model)]
    fit += ["--seed", str(seed), "--no-check-docking"]
    for name, value in parse_options(arguments.option).items():
        fit += [f"--{name.replace('_', '-')}", value]
    run_command(fit, arguments.threads)
    check = ["validate", str(job), "--out", str(checked), "--parts", "support", "--states", "3"]
    run_command(check, arguments.threads)
    told = read_json(checked / "validation.json")["parts"]["support"]
    true = find_true_amplitudes(checked, made, len(told["features"]))
    kept = ("of", "change", "verdict", "amplitude", "amplitude_error", "models_correlation")
    return {
        "prior": prior,
        "seed": seed,
        "features": [
            {name: row[name] for name in kept} | {"true_amplitude": float(amplitude)}
            for row, amplitude in zip(told["features"], true, strict=True)
        ],
        "extra_density": len(told["extra_density"]),
        "job_s": cs.open_job(job).info["timings"]["total"],
        "validate_s": cs.open_job(checked).info["timings"]["total"],
    }


def list_runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure prior after prior, and print each."""
    print("  prior    seed  feature          amplitude       true  verdict")
    for prior in arguments.priors:
        for seed in arguments.seeds:
            run = measure(prior, seed, arguments)
            for one in run["features"]:
                print(
                    f"  {prior:8s} {seed:3d}  {one['of']} {one['change']:8s}"
                    f"  {one['amplitude']:5.2f} ± {one['amplitude_error']:4.2f}"
                    f"  {one['true_amplitude']:6.2f}  {one['verdict']}",
                    flush=True,
                )
            print(f"  {prior:8s} {seed:3d}  density in no map: {run['extra_density']}", flush=True)
            yield run


def summarise(runs: list[dict[str, Any]]) -> dict[str, int]:
    """Count features by verdict, false alarms and misses."""
    features = [one for run in runs for one in run["features"]]
    supported = [one for one in features if one["verdict"] == "supported"]
    refused = [one for one in features if one["verdict"] == "not supported"]
    return {
        "features": len(features),
        "supported": len(supported),
        "false_supported": sum(one["true_amplitude"] < NOT_THERE for one in supported),
        "not_supported": len(refused),
        "missed": sum(one["true_amplitude"] > THERE for one in refused),
        "sets_with_density_in_no_map": sum(run["extra_density"] > 0 for run in runs),
    }


def main() -> None:
    """Measure all sets, print and write the result."""
    arguments = parse_arguments()
    Path(arguments.cache).mkdir(parents=True, exist_ok=True)
    runs = list(list_runs(arguments))
    summary = {
        prior: summarise([run for run in runs if run["prior"] == prior])
        for prior in arguments.priors
    }
    for prior, counts in summary.items():
        print(f"{prior}: {counts}")
    result = {"images": arguments.images, "snr": arguments.snr, "summary": summary}
    write_result(arguments.results, "support_wrong_prior", {**result, "runs": runs})


if __name__ == "__main__":
    main()
