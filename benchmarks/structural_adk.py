"""Accuracy of `cryosway structural` on adenylate kinase, as cryoSTAR was measured.

98 frames of a path from closed to open (MDAnalysis' ``adk_dims``), superposed on the CORE; 2,000
images of 64 px at 1.5 Å per pixel, SNR 0.1, CTF 1–2 µm, shifts of up to 3 Å that are known. The
reference is frame 49. Every particle's Cα atoms are compared with those of its true frame, without
superposition. cryoSTAR's best in 260 s was 1.21 Å on its own images of the same kind.

    python benchmarks/structural_adk.py --threads 2
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _datasets import find_data
from _measure import (
    make_parser,
    method_command,
    parse_options,
    recall_cost,
    run_measured,
    write_result,
)

import cryosway as cs
from cryosway.methods._structural_model import StructuralDecoder
from cryosway.protein import find_superposition, read_trajectory, write_structure
from cryosway.simulate import SimulatedSet, simulate

FloatArray = npt.NDArray[np.float64]

CRYOSTAR = {"rmsd": 1.21, "seconds": 259, "nmp_slope": 0.57}
REFERENCE_FRAME = 49
# Residue numbers, both ends included; the rest is the CORE.
REGIONS = {"NMP": (30, 59), "LID": (122, 159)}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--reuse", action="store_true", help="score a fit that is there already")
    parser.add_argument("--option", nargs="*", default=[], help="of structural, as epochs=10")
    return parser.parse_args()


def build(arguments: argparse.Namespace) -> tuple[SimulatedSet, Path, FloatArray, dict[str, Any]]:
    """Give images, the reference, true Cα (frames, N, 3), and the regions as masks (N,)."""
    folder = find_data(arguments.data) / "trajectories"
    trajectory = read_trajectory(folder / "adk.psf.gz", folder / "adk_dims.dcd")
    atoms = trajectory.atoms
    numbers, alpha = atoms.residue_numbers, atoms.atom_names == "CA"
    inside = {name: (numbers >= a) & (numbers <= b) for name, (a, b) in REGIONS.items()}
    inside["CORE"] = ~(inside["NMP"] | inside["LID"])
    fixed = inside["CORE"] & alpha
    target = trajectory.coordinates[REFERENCE_FRAME][fixed]
    frames = [find_superposition(x[fixed], target).apply(x) for x in trajectory.coordinates]
    weights = atoms.atomic_numbers
    centre = np.mean([np.average(x, axis=0, weights=weights) for x in frames], axis=0)
    frames = [frame - centre for frame in frames]
    out = arguments.cache / f"adk_structural_snr{arguments.snr:g}_n{arguments.images}"
    made = simulate(
        [atoms.with_coordinates(frame) for frame in frames],
        out,
        n=arguments.images,
        box=64,
        pixel_size=1.5,
        snr=arguments.snr,
        seed=arguments.seed,
        superpose=False,
        defocus_min=10_000.0,
        defocus_max=20_000.0,
        astigmatism=0.0,
        envelope_bfactor=0.0,
        shift=3.0,
    )
    reference = out / "reference.cif"
    write_structure(reference, atoms.with_coordinates(frames[REFERENCE_FRAME]))
    regions = {name: mask[alpha] for name, mask in inside.items()}
    return made, reference, np.stack([frame[alpha] for frame in frames]), regions


def score(found: FloatArray, true: FloatArray, regions: dict[str, Any]) -> dict[str, Any]:
    """Compare positions (n, N, 3) with the truth: RMSD, slopes of domain motion, geometry."""

    def rmsd(mask: Any) -> float:
        each = np.sqrt(((found - true)[:, mask] ** 2).sum(-1).mean(-1))
        return float(each.mean())

    def distance(x: FloatArray, name: str) -> FloatArray:
        apart = x[:, regions[name]].mean(1) - x[:, regions["CORE"]].mean(1)
        return np.asarray(np.linalg.norm(apart, axis=1))

    bonds = np.linalg.norm(np.diff(found, axis=1), axis=-1)
    slopes = {
        name: float(np.polyfit(distance(true, name), distance(found, name), 1)[0])
        for name in REGIONS
    }
    return {
        "rmsd": rmsd(slice(None)),
        "rmsd_of_regions": {name: rmsd(mask) for name, mask in regions.items()},
        "slopes": slopes,
        "bond_mean": float(bonds.mean()),
        "bond_sd": float(bonds.std()),
    }


def main() -> None:
    """Fit, score, print and write the result."""
    arguments = parse_arguments()
    made, reference, frames, regions = build(arguments)
    out = arguments.cache / "jobs" / f"structural_{made.path.name}"
    log = out.with_suffix(out.suffix + ".log")
    cost = recall_cost(log) if arguments.reuse else None
    options = {"model": reference, "seed": arguments.seed, **parse_options(arguments.option)}
    if cost is None:
        command = method_command("structural", made.particles, out, options, arguments.threads)
        cost = run_measured(command, log, arguments.threads)
    job = cs.open_job(out)
    true = frames[made.truth()["state"].to_numpy(np.int64)]
    found = StructuralDecoder(job).beads(job.latents)
    still = np.broadcast_to(frames[REFERENCE_FRAME], true.shape)
    result = {"structural": score(found, true, regions), "reference": score(still, true, regions)}
    for name, values in result.items():
        print(f"{name}: {values}")
    print(f"{cost.wall_s:.0f} s, {cost.cpu_s:.0f} CPU-s, {cost.peak_memory_mb:.0f} MB")
    write_result(
        arguments.results,
        "structural_adk",
        {
            "images": arguments.images,
            "snr": arguments.snr,
            "options": parse_options(arguments.option),
            "cost": asdict(cost),
            "timings": job.info.get("timings", {}),
            "cryostar": CRYOSTAR,
            **result,
        },
    )


if __name__ == "__main__":
    main()
