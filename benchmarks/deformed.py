"""Deformed backprojection of adenylate kinase: FSC to the true reference in the domains that move.

The images of `_kinase_cases.py` and the structural job of `structural_adk.py --case middle`: 98
frames from closed to open, reference frame 49. Maps of the particles as they are, and moved to the
reference by `cryosway density --by deformed`, along the motions of the job's half-set models, are
compared with the density of frame 49 within the LID, the NMP domain and the CORE. So are maps of
the same solver along the motion of the one model of all images, along the true motion (of Cα atoms;
the upper bound), and without motion: what the solver alone gains is not the motion's merit.

    python benchmarks/deformed.py --threads 2
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from _kinase_cases import (
    CASES,
    CORE_FRAME,
    PIXEL_SIZE,
    REGIONS,
    KinasePath,
    find_reference,
    simulate_path,
)
from _measure import make_parser, method_command, write_result

import cryosway as cs
from cryosway.engine import recall_cost, run_measured, set_threads
from cryosway.inference import (
    FourierWeights,
    MovedParticles,
    accumulate_weighted,
    solve_moved,
)
from cryosway.methods._density.data import DensityData
from cryosway.methods._density.motions import Motions, ParticleFrames
from cryosway.methods._density.regions import mask_around, mask_model
from cryosway.particles import read_map
from cryosway.protein import MovingFrames, blend_near
from cryosway.report import figure_png, plot_fsc, plot_slices
from cryosway.validate import auc_fsc, corrected_fsc, fsc, fsc_resolution
from cryosway.volumes import DeformedGrid, voxel_points

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Volume = npt.NDArray[np.float32]
Halves = tuple[Volume, Volume]
Frames = Callable[[Rows], torch.Tensor]

SLICES = "deformed_slices.png"
MOVED = "moved, half-set models"
COMPARED = {
    "none": "solver, no motion",
    "all": "moved, model of all images",
    "true": "moved, true motion",
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--reuse", action="store_true", help="take a density job that is there")
    parser.add_argument(
        "--compare", nargs="*", choices=list(COMPARED), default=list(COMPARED), help="motions"
    )
    parser.add_argument("--plot", type=Path, help="also write the slices there")
    return parser.parse_args()


class Problem:
    """The particles, the voxels about the reference, and what the data without motion determine."""

    def __init__(self, data: DensityData, iterations: int) -> None:
        self.data, self.iterations = data, iterations
        coarse, size = data.model.coarse, data.data.pixel_size
        self.mask = mask_model(coarse, coarse.coordinates, data.mask, size)
        self.moving = MovingFrames(coarse.neighbourhoods)
        inside = self.mask > 0
        follow = blend_near(voxel_points(inside, size).numpy(), coarse.coordinates)
        self.grid = DeformedGrid(inside, size, *follow)
        self.source = data.open_source(torch.device("cpu"))
        self.equations = accumulate_weighted(self.source, data.data.half, data.contrast)

    def solve(self, frames: tuple[Frames, Frames]) -> tuple[Halves, list[float]]:
        """Half-maps, each half-set moved by its frames; and the residuals of the first."""
        found = []
        for half in (0, 1):
            particles = MovedParticles(self.source, self.grid, frames[half], self.data.contrast)
            rows = (self.data.data.half == half).nonzero()[:, 0].numpy()
            weights = FourierWeights.of(self.equations, half)
            found.append(solve_moved(particles, rows, weights, iterations=self.iterations))
        first, second = (each.density.numpy() for each in found)
        return (first, second), list(found[0].residuals)

    def frames_of(self, beads: FloatArray) -> tuple[Frames, Frames]:
        """Frames for beads (N, residues, 3) of every particle."""

        def frames(rows: Rows) -> torch.Tensor:
            return torch.from_numpy(self.moving.affine(beads[rows]).astype(np.float32))

        return frames, frames

    def frames_by_all(self) -> tuple[Frames, Frames]:
        """Give frames by the model of all images."""
        data, count = self.data, len(self.data.latents)
        motions = Motions.of(data.structural, data.model, np.arange(count), count)
        frames = ParticleFrames(motions, self.moving)
        return frames, frames


def find_job(arguments: argparse.Namespace, particles: Path, reference: Path) -> cs.Job:
    """Give the structural job of `structural_adk.py`, fitted if it is not there."""
    out = arguments.cache / "jobs" / f"structural_middle_seed{arguments.seed}"
    if not (out / "job.json").exists() or cs.open_job(out).status != "finished":
        options = {"model": reference, "seed": arguments.seed}
        command = method_command("structural", particles, out, options, arguments.threads)
        run_measured(command, out.with_name(f"{out.name}.log"), arguments.threads)
    return cs.open_job(out)


def make_regions(path: KinasePath, mask: torch.Tensor) -> dict[str, Volume]:
    """Soft masks about the atoms of each domain of the reference."""
    atoms = path.state(CORE_FRAME)
    numbers = atoms.residue_numbers
    inside = {name: (numbers >= a) & (numbers <= b) for name, (a, b) in REGIONS.items()}
    inside["CORE"] = ~(inside["NMP"] | inside["LID"])
    box = mask.shape[-1]
    regions = {
        name: mask_around(atoms.coordinates[chosen], box, PIXEL_SIZE).numpy()
        for name, chosen in inside.items()
    }
    return {**regions, "all": mask.numpy()}


def score(halves: Halves, truth: Volume, regions: dict[str, Volume]) -> dict[str, Any]:
    """Compare the average with the truth, and the halves with each other, region by region."""
    mean = 0.5 * (halves[0] + halves[1])
    scores = {}
    for name, region in regions.items():
        to_truth = fsc(mean, truth, region)
        between = corrected_fsc(*halves, region)["corrected"]
        scores[name] = {
            "auc": auc_fsc(to_truth),
            "resolution_0.5": fsc_resolution(to_truth, PIXEL_SIZE, 0.5),
            "auc_half_maps": auc_fsc(np.clip(between, 0, 1)),
            "curve": np.round(to_truth, 4).tolist(),
        }
    return scores


def draw(folder: Path, maps: dict[str, Volume], scores: dict[str, Any], truth: Volume) -> None:
    """Write pictures: slices through the maps, and the FSC to the truth of each domain."""
    scaled = {"truth": truth / truth.std()}
    scaled |= {name: maps[name] / maps[name].std() for name in ("consensus", MOVED)}
    (folder / SLICES).write_bytes(figure_png(plot_slices(scaled, PIXEL_SIZE)))
    frequency = np.arange(len(truth) // 2) / (len(truth) * PIXEL_SIZE)
    for region in REGIONS:
        curves = [
            {"label": name, "value": found[region]["curve"], "frequency_per_angstrom": frequency}
            for name, found in scores.items()
        ]
        (folder / f"deformed_{region}.png").write_bytes(figure_png(plot_fsc(curves)))


def read_halves(job: cs.Job, name: str) -> Halves:
    """Read half-maps of a density job."""
    first, second = (
        np.asarray(read_map(job.path / "volumes" / f"{name}_half{half}.mrc")[0]) for half in (1, 2)
    )
    return first, second


def solve_all(
    problem: Problem, true: FloatArray, compared: list[str]
) -> tuple[dict[str, Halves], dict[str, Any]]:
    """Half-maps along the motions that are named, true (N, residues, 3) among them; residuals."""
    frames: dict[str, Callable[[], tuple[Frames, Frames]]] = {
        "none": lambda: problem.frames_of(np.broadcast_to(problem.moving.reference, true.shape)),
        "all": problem.frames_by_all,
        "true": lambda: problem.frames_of(true),
    }
    halves, residuals = {}, {}
    for name in compared:
        halves[COMPARED[name]], residuals[COMPARED[name]] = problem.solve(frames[name]())
    return halves, residuals


def main() -> None:
    """Solve, score, print and write the result."""
    arguments = parse_arguments()
    set_threads(arguments.threads)
    path, case = KinasePath.read(arguments.data), CASES["middle"]
    made = simulate_path(path, case, arguments.cache, arguments.seed)
    job = find_job(arguments, made.particles, find_reference(path, made, case))
    out = arguments.cache / "jobs" / f"deformed_middle_seed{arguments.seed}"
    options = {"by": "deformed", "iterations": arguments.iterations}
    log = out.with_name(f"{out.name}.log")
    cost = recall_cost(log) if arguments.reuse else None
    if cost is None:
        command = method_command("density", job.path, out, options, arguments.threads)
        cost = run_measured(command, log, arguments.threads)
    made_by_job = cs.open_job(out)

    problem = Problem(DensityData.open(job), arguments.iterations)
    truth = read_map(made.volumes[CORE_FRAME])[0]
    true = path.residues[made.truth()["state"].to_numpy(np.int64)]
    halves = {
        "consensus": read_halves(made_by_job, "unmoved"),
        MOVED: read_halves(made_by_job, "mean"),
    }
    compared, residuals = solve_all(problem, true, arguments.compare)
    halves |= compared
    regions = make_regions(path, problem.mask)
    scores = {name: score(pair, truth, regions) for name, pair in halves.items()}
    mask = problem.mask.numpy()
    maps = {name: 0.5 * (pair[0] + pair[1]) * mask for name, pair in halves.items()}
    draw(arguments.cache, maps, scores, truth)
    if arguments.plot is not None:
        shutil.copyfile(arguments.cache / SLICES, arguments.plot)
    for name, found in scores.items():
        line = ", ".join(
            f"{region} {values['auc']:.3f} ({values['resolution_0.5']:.1f} Å)"
            for region, values in found.items()
        )
        print(f"{name}: {line}")
    print({name: [round(value, 3) for value in part] for name, part in residuals.items()})
    print(f"{cost.wall_s:.0f} s, {cost.cpu_s:.0f} CPU-s, {cost.peak_memory_mb:.0f} MB")
    write_result(
        arguments.results,
        "deformed",
        {
            "images": case.images,
            "snr": case.snr,
            "seed": arguments.seed,
            "cost": vars(cost),
            "residuals": residuals,
            "largest": auc_fsc(np.ones(len(truth) // 2)),
            "scores": scores,
        },
    )


if __name__ == "__main__":
    main()
