"""Composition told from conformation: a complex that lacks chains in some of its particles.

The dengue virus's E and M proteins with scFv fragments (PDB 7CTH, 10 chains, 2,160 residues) do
not move, but chain C (E) is missing in half of the particles, and chain H (part of an scFv, 6 % of
the mass) in a third of them. `cryosway structural` runs with and without occupancies. Told are the
AUC of each chain's occupancy, its share, and how far the residues that are there have been moved,
where any motion is an error. A third run has all chains in all particles.

    python benchmarks/occupancy.py --threads 1
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _datasets import find_data
from _measure import make_parser, method_command, parse_options, write_result
from sklearn.metrics import roc_auc_score

import cryosway as cs
from cryosway.engine import read_json, run_measured
from cryosway.methods._structural.model import StructuralModel
from cryosway.protein import AtomTable, read_structure, write_structure
from cryosway.simulate import SimulatedSet, simulate

FloatArray = npt.NDArray[np.float64]

# Every composition with the chains that it lacks; a third of the particles lack H, half lack C.
STATES = ((), (), ("C",), ("C",), ("H",), ("C", "H"))
PIXEL_SIZE = 3.6


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument(
        "--runs", nargs="*", default=["auto", "complete", "none"], help="auto, none, complete"
    )
    parser.add_argument("--option", nargs="*", default=[], help="of structural, as epochs=10")
    return parser.parse_args()


def centre(atoms: AtomTable) -> AtomTable:
    """Put the centre of charge of the whole complex at 0."""
    middle = np.average(atoms.coordinates, axis=0, weights=atoms.atomic_numbers)
    return atoms.with_coordinates(atoms.coordinates - middle)


def build(arguments: argparse.Namespace, *, complete: bool) -> tuple[SimulatedSet, Path]:
    """Simulate the images; give them and the model of all chains, in their frame."""
    folder = find_data(arguments.data) / "models"
    whole = centre(read_structure(folder / "mmcif_7cth.cif.gz", ligands=False))
    whole = whole.without_hydrogens()
    names = set(whole.chains.tolist())
    lacking = ((),) if complete else STATES
    states = [whole.select_chains(names - set(chains)) for chains in lacking]
    name = "complete" if complete else "missing"
    out = arguments.cache / f"occupancy_{name}_snr{arguments.snr:g}_n{arguments.images}"
    made = simulate(
        states,
        out,
        n=arguments.images,
        box=arguments.box,
        pixel_size=PIXEL_SIZE,
        snr=arguments.snr,
        seed=arguments.seed,
        superpose=False,
        shift=5.0,
        threads=arguments.threads,
    )
    # The simulation puts the mean of the states' centres at 0.
    centres = [np.average(s.coordinates, axis=0, weights=s.atomic_numbers) for s in states]
    model = out / "model.cif"
    write_structure(model, whole.with_coordinates(whole.coordinates - np.mean(centres, axis=0)))
    return made, model


def run(made: SimulatedSet, model: Path, occupancy: str, arguments: argparse.Namespace) -> Any:
    """Fit; give the job and what it cost."""
    out = arguments.cache / "jobs" / f"{made.path.name}_{occupancy}"
    options = {
        "model": model,
        "occupancy": occupancy,
        "halves": "false",
        "seed": arguments.seed,
        **parse_options(arguments.option),
    }
    command = method_command("structural", made.particles, out, options, arguments.threads)
    cost = run_measured(command, Path(f"{out}.log"), arguments.threads)
    return cs.open_job(out), cost


def score(job: cs.Job, made: SimulatedSet, *, complete: bool) -> dict[str, Any]:
    """Judge occupancies and displacements."""
    state = made.truth()["state"].to_numpy(np.int64)
    lacking = [()] * (int(state.max()) + 1) if complete else STATES
    table, model = job.particles, StructuralModel.load(job.path)
    chains = model.coarse.chains
    present = np.array([~np.isin(chains, missing) for missing in lacking])[state]
    moved = model.beads(job.latents).double().numpy() - model.coarse.coordinates
    squared = (moved**2).sum(-1)
    found = {}
    for column in table.columns:
        if column.startswith("occupancy_"):
            name = column.removeprefix("occupancy_")
            true = np.array([name not in lacking[at] for at in state])
            both = 0 < true.mean() < 1
            found[name] = {
                "auc": float(roc_auc_score(true, table[column])) if both else None,
                "share": float(table[column].mean()),
                "true_share": float(true.mean()),
            }
    decisions = [
        entry["why"]
        for entry in read_json(job.path / "decisions.json")
        if entry["what"].startswith("composition")
    ]
    return {
        "occupancies": found,
        "displacement_angstrom": float(np.sqrt(squared[present].mean())),
        "said": decisions,
    }


def main() -> None:
    """Fit, score, print and write the result."""
    arguments = parse_arguments()
    result: dict[str, Any] = {}
    for name in arguments.runs:
        complete = name == "complete"
        made, model = build(arguments, complete=complete)
        job, cost = run(made, model, "auto" if complete else name, arguments)
        result[name] = score(job, made, complete=complete) | {"cost": asdict(cost)}
        print(f"{name}: {result[name]}", flush=True)
        write_result(
            arguments.results,
            "occupancy",
            {
                "images": arguments.images,
                "box": arguments.box,
                "snr": arguments.snr,
                "options": parse_options(arguments.option),
                "runs": result,
            },
        )


if __name__ == "__main__":
    main()
