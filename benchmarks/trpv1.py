"""Ten real particles of TRPV1: do images, poses, shifts and CTF fit the published map?

Two comparisons, each with the right conventions and with wrong ones as controls. Images: their
correlation with the map's reprojections. Maps: the correlation of `cryosway backproject` from the
ten with the published map, low-passed, within a mask. How much ten particles can show is measured
on simulated ones: the published map, with the amplitude that every shell of it has in the images,
seen with their poses and CTF in noise of their spectrum.

    python benchmarks/trpv1.py
"""

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from _measure import make_parser, write_result
from torch import Tensor

import cryosway as cs
from cryosway.inference import (
    GaussianPosterior,
    ImageSource,
    SimulatedNull,
    estimate_noise,
    solve_consensus,
    split_halves,
    total_power,
)
from cryosway.optics import (
    CtfParams,
    compute_ctf,
    extract_slices,
    filter_volumes,
    half_plane_frequencies,
    ifft2_half,
    make_disc,
    shift_images,
    volume_to_grid,
)
from cryosway.particles import Particles, read_map
from cryosway.validate import low_pass, make_solvent_mask
from cryosway.volumes import BasisGrid, NormalEquations, SliceReader

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]

FOLDER = Path(__file__).parents[1] / "tests/data/trpv1"
LOW_PASS = 20.0  # Å
DISC_RADIUS = 22  # pixels
INSPECTED = ("contrast", "poses", "shift sign", "rotation direction")
CONVENTIONS = ("right", "shifts flipped", "rotations transposed", "map mirrored")


@dataclass(frozen=True)
class Target:
    """The published map, low-passed, and where to compare."""

    plain: Volume
    smooth: Volume
    mask: Volume
    pixel_size: float

    @classmethod
    def load(cls) -> "Target":
        """Read the map and make its mask."""
        plain, info = read_map(FOLDER / "trpv1_volume.mrc.gz")
        size = float(info.pixel_size)
        smooth = low_pass(plain, size, LOW_PASS)
        return cls(np.asarray(plain, np.float32), smooth, make_solvent_mask(plain, size), size)

    def correlate(self, volume: Volume) -> float:
        """Correlation of a map, low-passed, with this one within the mask."""
        inside = self.mask > 0.5
        found = low_pass(volume, self.pixel_size, LOW_PASS)
        return float(np.corrcoef(found[inside], self.smooth[inside])[0, 1])


def apply_convention(particles: Particles, convention: str) -> Particles:
    """Particles as another program might take them."""
    rotations, shifts = particles.rotations, particles.shifts
    if convention == "shifts flipped":
        shifts = -shifts
    if convention == "rotations transposed":
        rotations = rotations.swapaxes(1, 2)
    return particles.with_poses(rotations, shifts)


def mirror(volume: Volume) -> Volume:
    """Mirror a map at the plane z = 0, through voxel D/2."""
    return np.roll(volume[::-1], 1, axis=0).copy()


# ---------------------------------------------------------------------------- images


def correlate_images(particles: Particles, volume: Volume) -> FloatArray:
    """Correlation of each image with CTF · projection within a disc, shape (N,)."""
    box = particles.box
    disc = make_disc(box, box // 2 - 1)
    rotations = torch.tensor(np.ascontiguousarray(particles.rotations))
    grid = volume_to_grid(torch.tensor(volume, dtype=torch.float64))
    slices = disc.unpack(extract_slices(grid, rotations, disc.points))
    params = CtfParams.from_table(particles.ctf, dtype=torch.float64)
    slices = slices * compute_ctf(half_plane_frequencies(box, dtype=torch.float64), params)
    content_at = torch.tensor(-particles.shifts / float(particles.pixel_size))  # type: ignore[arg-type]
    projections = ifft2_half(shift_images(slices, content_at)).numpy()
    axis = np.arange(box) - box // 2
    inside = axis[:, None] ** 2 + axis**2 <= DISC_RADIUS**2
    pairs = zip(projections[:, inside], particles.images()[:, inside], strict=True)
    return np.array([np.corrcoef(*pair)[0, 1] for pair in pairs])


# ---------------------------------------------------------------------------- maps


def backproject(particles: Particles, out: Path) -> Volume:
    """Map of `cryosway backproject`, unmasked and not weighted by shells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cs.CryoswayWarning)
        job = cs.backproject(particles, out, overwrite=True, resume=False)
    return np.asarray(read_map(job.path / "volumes" / "unmasked.mrc")[0], np.float32)


def expect_correlation(particles: Particles, target: Target, repeats: int) -> FloatArray:
    """Correlations that maps of simulated particles reach, shape (repeats,)."""
    source = ImageSource(particles, particles.box // 2 - 1)
    white, seen = fit_images(source, torch.from_numpy(target.plain))
    assert white.noise is not None
    half = split_halves(len(particles), None, 0)
    found = []
    for seed in range(repeats):
        equations = NormalEquations(white.radius, 1, parts=2)
        for batch in SimulatedNull(white, seen, np.ones(len(particles)), seed):
            ones = torch.ones(len(batch.index), 1)
            equations.add(batch.slices, ones, ones, half[torch.from_numpy(batch.index)])
        solved = solve_consensus(equations, target.pixel_size, white.noise)
        found.append(target.correlate(solved.unmasked.numpy()))
    return np.array(found)


def fit_images(source: ImageSource, volume: Tensor, rounds: int = 2) -> tuple[ImageSource, Tensor]:
    """Fit the spectrum of the map to the images, and the noise to what is left.

    Returns
    -------
    The images whitened by that noise, and the map with the gain of every shell that fits best.
    """
    white, seen = source.with_noise(total_power(source)), volume
    for _ in range(rounds):
        seen = filter_volumes(volume[None], measure_gains(white, volume))[0]
        noise = estimate_noise(white, *mean_only(seen, len(source)))
        white = source.with_noise(noise)
    return white, seen


def measure_gains(source: ImageSource, volume: Tensor, spread: int = 2) -> Tensor:
    """Amount of the map in the images by least squares, per shell and its neighbours."""
    reader = SliceReader(volume[None])
    sums = torch.zeros(2, source.disc.radius + 1)
    for batch in source:
        views = reader.read(batch.slices)[..., 0] * batch.slices.filters[..., None]
        data = torch.view_as_real(batch.slices.values)
        terms = torch.stack([(views * data).sum((0, 2)), views.square().sum((0, 2))])
        sums.index_add_(1, source.disc.shell, terms)
    window = torch.ones(1, 1, 2 * spread + 1)
    pooled = torch.nn.functional.conv1d(sums[:, None], window, padding=spread)[:, 0]
    return (pooled[0] / pooled[1]).clamp(min=0)


def mean_only(volume: Tensor, count: int) -> tuple[BasisGrid, GaussianPosterior]:
    """A model without components, and its trivial posterior."""
    ones, none = np.ones(count), np.zeros((count, 0))
    posterior = GaussianPosterior(none, np.zeros((count, 0, 0)), ones, 0 * ones, 0 * ones)
    return BasisGrid(volume[None], np.zeros(0)), posterior


# ---------------------------------------------------------------------------- results


def inspect(particles: Particles, out: Path) -> list[dict[str, Any]]:
    """What `cryosway inspect` says of the particles: its checks of the images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cs.CryoswayWarning)
        job = cs.inspect(particles, out, overwrite=True, resume=False)
    checks = json.loads((job.path / "inspect.json").read_text())["checks"]
    return [check for check in checks if check["name"] in INSPECTED]


def measure(particles: Particles, target: Target, arguments: argparse.Namespace) -> dict[str, Any]:
    """Both comparisons for every convention."""
    rows = []
    for convention in CONVENTIONS:
        taken = apply_convention(particles, convention)
        found = backproject(taken, arguments.cache / "jobs" / "trpv1")
        volume = target.plain
        if convention == "map mirrored":
            found, volume = mirror(found), mirror(volume)
        rows.append(
            {
                "convention": convention,
                "images": float(correlate_images(taken, volume).mean()),
                "map": target.correlate(found),
            }
        )
    expected = expect_correlation(particles, target, arguments.repeats)
    return {
        "particles": len(particles),
        "low_pass_angstrom": LOW_PASS,
        "rows": rows,
        "inspect": inspect(particles, arguments.cache / "jobs" / "trpv1_inspect"),
        "expected_map": {"mean": float(expected.mean()), "sd": float(expected.std(ddof=1))},
    }


def print_result(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"correlation of {result['particles']} particles with the published map")
    print("conventions             images     map")
    for row in result["rows"]:
        print(f"{row['convention']:22} {row['images']:7.3f} {row['map']:7.3f}")
    expected = result["expected_map"]
    print(f"expected of ten simulated ones  {expected['mean']:.3f} ± {expected['sd']:.3f}")
    for check in result["inspect"]:
        print(f"inspect, {check['name']}: {check['verdict']}. {check['sentence']}")


def main() -> None:
    """Compare, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="simulations of ten particles")
    arguments = parser.parse_args()
    particles = cs.read_particles(FOLDER / "trpv1_small_stack.star")
    result = measure(particles, Target.load(), arguments)
    print_result(result)
    write_result(arguments.results, "trpv1", result)


if __name__ == "__main__":
    main()
