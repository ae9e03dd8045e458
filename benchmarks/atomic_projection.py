"""Time projecting beads, forward and backward, against separable Gaussians multiplied as matrices.

The stand-in for cryoSTAR's way is written here: an image is the product of two matrices of
Gaussians, exp(−(x − x_j)²/2σ²) and exp(−(y − y_j)²/2σ²), whose cost is that of beads times pixels.
Ours gives Fourier coefficients, theirs an image in real space; its FFT is not counted. Both run on
the same positions and rotations, with gradients of positions and amplitudes, in CPU time, the best
of some rounds. The error of ours is the largest over all coefficients up to Nyquist, against the
sum over beads in double precision, as a part of the peak.

    python benchmarks/atomic_projection.py
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numba
import numpy as np
import torch
from _measure import make_parser, write_result
from torch import Tensor

from cryosway.optics import make_disc, random_rotations
from cryosway.volumes import AtomicModel, Slices

PIXEL_SIZE = 1.5
SIGMA = 2.0
SIGMAS = (1.6, 2.6)
BEADS = (214, 1000, 3000, 10000)
BOXES = (64, 128)
# Å³ that a residue takes up in a folded protein, about.
VOLUME_PER_BEAD = 135.0


@dataclass(frozen=True)
class Timing:
    """What one case cost, CPU-ms per image, forward and backward, and how exact it is."""

    beads: int
    box: int
    matrices_ms: float
    splat_ms: float
    splat_many_widths_ms: float
    profiles: int
    error: float
    error_many_widths: float

    @property
    def ratio(self) -> float:
        """How many times cheaper ours is."""
        return self.matrices_ms / self.splat_ms


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument("--beads", type=int, nargs="+", default=list(BEADS))
    parser.add_argument("--boxes", type=int, nargs="+", default=list(BOXES), help="pixels")
    parser.add_argument("--images", type=int, default=16, help="in a batch")
    parser.add_argument("--rounds", type=int, default=5, help="the best counts")
    return parser.parse_args()


def make_scene(beads: int, box: int, images: int, seed: int) -> tuple[Tensor, Tensor, Slices]:
    """Positions (n, N, 3) of a globule that breathes, amplitudes (N,) and views."""
    rng = np.random.default_rng(seed)
    radius = min((3 * beads * VOLUME_PER_BEAD / (4 * math.pi)) ** (1 / 3), 0.4 * box * PIXEL_SIZE)
    x = rng.normal(size=(beads, 3))
    x *= radius * rng.random((beads, 1)) ** (1 / 3) / np.linalg.norm(x, axis=1, keepdims=True)
    positions = torch.from_numpy(x + rng.normal(size=(images, beads, 3))).float()
    disc = make_disc(box, box // 2 - 1)
    shape = (images, len(disc.points))
    slices = Slices(
        torch.zeros(shape, dtype=torch.complex64),
        torch.ones(shape),
        torch.from_numpy(random_rotations(images, rng)).float(),
        disc.points.float(),
    )
    return positions, torch.from_numpy(rng.uniform(30, 90, beads)).float(), slices


def project_by_matrices(
    positions: Tensor, amplitudes: Tensor, rotations: Tensor, box: int
) -> Tensor:
    """Images (n, D, D) as products of separable Gaussians."""
    axis = (torch.arange(box) - box // 2) * PIXEL_SIZE
    xy = positions @ rotations[:, :2].mT
    waves = torch.exp(-((axis - xy[..., None]) ** 2) / (2 * SIGMA**2))
    return (waves[:, :, 1] * amplitudes[:, None]).mT @ waves[:, :, 0]


def time_round_trip(project: Callable[[], Tensor], leaves: list[Tensor], rounds: int) -> float:
    """CPU seconds of projecting and of the gradients of the leaves, the best of some rounds."""
    pull = torch.randn_like(project().detach())
    best = math.inf
    for _ in range(rounds):
        for leaf in leaves:
            leaf.grad = None
        start = time.process_time()
        project().backward(pull)
        best = min(best, time.process_time() - start)
    return best


def measure_error(
    views: Tensor, slices: Slices, positions: Tensor, amplitudes: Tensor, sigmas: Tensor, box: int
) -> float:
    """Largest error of the first view against the sum over beads, as a part of the peak."""
    s = slices.points.double() / (box * PIXEL_SIZE)
    xy = positions[0].double() @ slices.rotations[0, :2].double().T
    amounts = amplitudes.double()
    total = torch.zeros(len(s), dtype=torch.complex128)
    for some in torch.arange(len(xy)).split(500):
        profile = torch.exp(-2 * torch.pi**2 * sigmas[some, None] ** 2 * s.square().sum(-1))
        phases = torch.exp(-2j * torch.pi * (xy[some] @ s.T))
        total += (amounts[some, None] * profile * phases).sum(0)
    return float((torch.view_as_complex(views[0].double()) - total).abs().max() / amounts.sum())


def time_case(beads: int, box: int, arguments: argparse.Namespace) -> Timing:
    """Time both ways, and ours with widths that differ."""
    positions, amplitudes, slices = make_scene(beads, box, arguments.images, arguments.seed)
    positions.requires_grad_()
    spread = torch.linspace(*SIGMAS, beads)
    times, errors, profiles = [], [], 1
    for sigmas in (torch.tensor([SIGMA]), spread):
        model = AtomicModel(box, PIXEL_SIZE, amplitudes, sigmas)
        model.amplitudes.requires_grad_()
        leaves = [positions, model.amplitudes]
        times.append(
            time_round_trip(lambda m=model: m.slices(slices, positions), leaves, arguments.rounds)
        )
        views = model.slices(slices, positions).detach()
        widths = sigmas.double().expand(beads)
        errors.append(measure_error(views, slices, positions.detach(), amplitudes, widths, box))
        profiles = model.profiles
    weights = amplitudes.clone().requires_grad_()
    theirs = time_round_trip(
        lambda: project_by_matrices(positions, weights, slices.rotations, box),
        [positions, weights],
        arguments.rounds,
    )
    each = [1000 * seconds / arguments.images for seconds in (theirs, *times)]
    return Timing(beads, box, *each, profiles, *errors)


def main() -> None:
    """Time every case, print and write the result."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    numba.set_num_threads(arguments.threads)
    rows = []
    for box in arguments.boxes:
        for beads in arguments.beads:
            row = time_case(beads, box, arguments)
            print(
                f"{box:4d} px {beads:6d} beads  matrices {row.matrices_ms:7.2f}  splat "
                f"{row.splat_ms:6.3f}  with {row.profiles} profiles of width "
                f"{row.splat_many_widths_ms:6.3f} CPU-ms per image  × {row.ratio:5.1f}  error "
                f"{row.error:.1e}, {row.error_many_widths:.1e} of the peak",
                flush=True,
            )
            rows.append({**asdict(row), "ratio": row.ratio})
    settings = {
        "pixel_size": PIXEL_SIZE,
        "sigma": SIGMA,
        "sigmas": list(SIGMAS),
        "images": arguments.images,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
    }
    write_result(arguments.results, "atomic_projection", {**settings, "cases": rows})


if __name__ == "__main__":
    main()
