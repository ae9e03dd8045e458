"""Accuracy of `cryosway structural` on adenylate kinase, as cryoSTAR was measured.

Every particle's Cα atoms are compared with those of its true frame, without superposition, and the
density of the model at the latents of a hundred particles with their true maps. The images are
those of `_kinase_cases.py`; cryoSTAR's best in 260 s was 1.21 Å on its own images of the same kind.
Cases: the reference is the path's middle, its open end, or a crystal structure that is docked
first; ten times more noise; nothing but noise; and images that are all of the reference. In the
last two nothing should move.

    python benchmarks/structural_adk.py --case middle --seed 1 --threads 2
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from _kinase_cases import (
    CASES,
    PIXEL_SIZE,
    REGIONS,
    Case,
    KinasePath,
    find_particles,
    find_reference,
    simulate_path,
)
from _measure import make_parser, method_command, parse_options, write_result
from _scoring import load_volumes

import cryosway as cs
from cryosway.engine import read_json, recall_cost, run_measured
from cryosway.jobs import Job
from cryosway.methods._structural.model import StructuralDecoder
from cryosway.particles import read_map
from cryosway.priors import Clash, count_clashes
from cryosway.protein import coarse_grain, read_structure
from cryosway.simulate import SimulatedSet
from cryosway.validate import MASK_RULE, MapScorer, make_union_mask, score_indices, summarise_scores

FloatArray = npt.NDArray[np.float64]

NAME = "structural_adk"
CRYOSTAR = {"rmsd": 1.21, "seconds": 259, "nmp_slope": 0.57}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--case", choices=list(CASES), default="middle")
    parser.add_argument("--reuse", action="store_true", help="score a fit that is there already")
    parser.add_argument("--option", nargs="*", default=[], help="of structural, as epochs=10")
    return parser.parse_args()


def score_models(found: FloatArray, true: FloatArray, path: KinasePath) -> dict[str, Any]:
    """Compare positions (n, N, 3) with the truth: RMSD, and slopes of domain motion."""

    def rmsd(mask: Any) -> float:
        each = np.sqrt(((found - true)[:, mask] ** 2).sum(-1).mean(-1))
        return float(each.mean())

    def distance(x: FloatArray, name: str) -> FloatArray:
        apart = x[:, path.regions[name]].mean(1) - x[:, path.regions["CORE"]].mean(1)
        return np.asarray(np.linalg.norm(apart, axis=1))

    slopes = {
        name: float(np.polyfit(distance(true, name), distance(found, name), 1)[0])
        for name in REGIONS
    }
    regions = {name: rmsd(mask) for name, mask in path.regions.items()}
    return {"rmsd": rmsd(slice(None)), "rmsd_of_regions": regions, "slopes": slopes}


def score_geometry(found: FloatArray, reference: Path) -> dict[str, float]:
    """Measure Cα–Cα distances, Å, and count pairs of Cα nearer than 4 Å that were not so."""
    bonds = np.linalg.norm(np.diff(found, axis=1), axis=-1)
    clash = Clash.of(coarse_grain(read_structure(reference).without_hydrogens()))
    clashes = count_clashes(clash, torch.from_numpy(found).float())
    return {
        "bond_mean": float(bonds.mean()),
        "bond_sd": float(bonds.std()),
        "close_pairs_per_model": float(clashes.double().mean()),
    }


def score_maps(job: Job, made: SimulatedSet) -> dict[str, Any]:
    """AUC-FSC of the model's density at a hundred latents, and of the consensus map."""
    truths = load_volumes(made.volumes)
    scorer = MapScorer(truths, make_union_mask(truths, PIXEL_SIZE))
    rows = score_indices(len(job.latents))
    states = made.truth()["state"].to_numpy(np.int64)[rows]
    consensus = np.asarray(read_map(job.path / "volumes" / "mean.mrc")[0])
    return {
        "mask": MASK_RULE,
        "model": summarise_scores(
            scorer.score_all(lambda i: job.volume(job.latents[rows[i]]), states)
        ),
        "consensus": summarise_scores(scorer.score_all(lambda _: consensus, states)),
    }


def score(job: Job, made: SimulatedSet, reference: Path, path: KinasePath) -> dict[str, Any]:
    """Score a fit to images of the path."""
    true = path.residues[made.truth()["state"].to_numpy(np.int64)]
    found = StructuralDecoder(job).beads(job.latents)
    start = coarse_grain(read_structure(job.path / "reference.cif")).coordinates
    still = np.broadcast_to(start, true.shape)
    return {
        "structural": score_models(found, true, path) | score_geometry(found, reference),
        "reference": score_models(still, true, path),
        "truth": score_geometry(true, reference),
        "auc_fsc": score_maps(job, made),
    }


def score_still(job: Job) -> dict[str, Any]:
    """Say how far models have moved where nothing moves, or nothing is to be seen, Å.

    From the reference, and from their own mean: what all share is no motion, but what beads at Cα
    differ by from the atoms that the images are made of.
    """
    moved = job.particles["displacement"].to_numpy(np.float64)
    found = StructuralDecoder(job).beads(job.latents)
    apart = np.linalg.norm(found - found.mean(0), axis=-1).mean(1)
    return {
        "displacement": {"mean": float(moved.mean()), "largest": float(moved.max())},
        "from_mean": {"mean": float(apart.mean()), "largest": float(apart.max())},
    }


def merge_result(folder: Path, case: str, seed: int, entry: dict[str, Any]) -> None:
    """Write an entry beside those of other cases and seeds."""
    known = folder / f"{NAME}.json"
    cases = dict(read_json(known).get("cases", {})) if known.exists() else {}
    cases[case] = {**cases.get(case, {}), f"seed{seed}": entry}
    write_result(folder, NAME, {"cryostar": CRYOSTAR, "cases": cases})


def main() -> None:
    """Fit, score, print and write the result."""
    arguments = parse_arguments()
    case: Case = CASES[arguments.case]
    path = KinasePath.read(arguments.data)
    made = simulate_path(path, case, arguments.cache, arguments.seed)
    particles = find_particles(made, case, arguments.seed)
    reference = find_reference(path, made, case)
    out = arguments.cache / "jobs" / f"structural_{arguments.case}_seed{arguments.seed}"
    log = out.with_name(f"{out.name}.log")
    cost = recall_cost(log) if arguments.reuse else None
    chosen = {**case.options, **parse_options(arguments.option)}
    if cost is None:
        options = {"model": reference, "seed": arguments.seed, **chosen}
        command = method_command("structural", particles, out, options, arguments.threads)
        cost = run_measured(command, log, arguments.threads)
    job = cs.open_job(out)
    scores = score_still(job) if case.noise or case.still else score(job, made, reference, path)
    for name, values in scores.items():
        print(f"{name}: {values}")
    print(f"{cost.wall_s:.0f} s, {cost.cpu_s:.0f} CPU-s, {cost.peak_memory_mb:.0f} MB")
    entry = {
        "images": case.images,
        "snr": case.snr,
        "options": chosen,
        "cost": asdict(cost),
        "timings": job.info.get("timings", {}),
        **scores,
    }
    merge_result(arguments.results, arguments.case, arguments.seed, entry)


if __name__ == "__main__":
    main()
