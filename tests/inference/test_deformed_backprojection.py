"""Deformed backprojection: ordinary maps where nothing moves, sharper ones where motion is."""

import numpy as np
import pytest
import torch

from cryosway.inference import (
    FourierWeights,
    ImageSource,
    MovedParticles,
    NoiseModel,
    accumulate_weighted,
    solve_moved,
    solve_unmoved,
)
from cryosway.protein import blend_near
from cryosway.validate import auc_fsc, fsc, soften_mask, sphere_mask
from cryosway.volumes import DeformedGrid, voxel_points

BOX, PIXEL, COUNT = 24, 3.0, 360
ALONG = np.array([0.0, 9.0, 0.0])  # Å: how the one ball moves
CENTRE = np.array([0.0, 0.0, 12.0])
STEPS = np.array([-1.0, -0.4, 0.4, 1.0])  # none at the place that is solved for


@pytest.fixture(scope="module")
def molecule(make_phantom):
    """A ball of atoms at rest and a smaller one beside it, at four places."""
    body = make_phantom(balls=40, radius=10.0, sigma=2.4, seed=1, offset=(0, 0, -10.0))
    arm = make_phantom(balls=20, radius=8.0, sigma=2.4, seed=2, offset=CENTRE)
    return body, arm


@pytest.fixture(scope="module")
def truth(molecule, simulate):
    body, arm = molecule
    states = []
    for step in STEPS:
        moved = np.concatenate([body.centres, arm.centres + step * ALONG])
        weights = np.concatenate([body.weights, arm.weights])
        states.append(type(body)(moved, weights, body.sigma))
    state = np.arange(COUNT) % len(STEPS)
    amounts = np.eye(len(STEPS))[state]
    return simulate(states, COUNT, amounts=amounts, noise=3.0, box=BOX, seed=3), state


@pytest.fixture(scope="module")
def problem(truth):
    """Particles, two frames (body and arm), and what the undeformed data determine."""
    simulated, state = truth
    source = ImageSource(simulated.particles, BOX // 2 - 1, noise=NoiseModel(simulated.noise[None]))
    half = torch.arange(COUNT) // len(STEPS) % 2
    contrast = torch.ones(COUNT)
    equations = accumulate_weighted(source, half, contrast)
    inside = torch.from_numpy(sphere_mask(BOX, 9.0, 2.0)) > 0
    beads = np.stack([[0, 0, -10.0], CENTRE])
    points = voxel_points(inside, PIXEL).numpy()
    grid = DeformedGrid(inside, PIXEL, *blend_near(points, beads, width=4.0))

    def particles(sign):
        def frames(rows):
            still = torch.eye(3, 4).repeat(len(rows), 2, 1, 1)
            shift = sign * STEPS[state[rows], None] * ALONG
            still[:, 1, :, 3] = torch.from_numpy(shift)
            return still

        return MovedParticles(source, grid, frames, contrast)

    return particles, equations, half


def solve(problem, sign, half=0, **how):
    particles, equations, halves = problem
    rows = (halves == half).nonzero()[:, 0].numpy()
    return solve_moved(particles(sign), rows, FourierWeights.of(equations, half), **how)


def test_without_motion_it_is_the_ordinary_map(problem):
    """The first step alone is nearly the consensus; more change little of what the data show."""
    found = solve(problem, sign=0, iterations=4)
    ordinary = solve_unmoved(problem[1], 0)
    mask = sphere_mask(BOX, 7.0, 2.0)
    curve = fsc(found.density.numpy(), ordinary.numpy(), mask)
    assert curve[:9].min() > 0.98
    first = solve(problem, sign=0, iterations=1)
    assert fsc(first.density.numpy(), ordinary.numpy(), mask)[:9].min() > 0.95
    weight = torch.from_numpy(mask).square()
    ratio = float((found.density * ordinary * weight).sum() / (ordinary.square() * weight).sum())
    assert ratio == pytest.approx(1, abs=0.05)


def test_known_motion_sharpens_what_moves(problem, molecule):
    body, arm = molecule
    true = body.volume(BOX, PIXEL) + arm.volume(BOX, PIXEL)
    at = np.round(CENTRE[::-1] / PIXEL).astype(int) + BOX // 2
    inside = np.zeros((BOX,) * 3, bool)
    inside[tuple(at)] = True
    region = soften_mask(inside, 3.0, 2.0)

    def agreement(density):
        return auc_fsc(fsc(density.numpy(), true, region))

    ordinary = agreement(solve_unmoved(problem[1], 0))
    moved = agreement(solve(problem, sign=1).density)
    wrong = agreement(solve(problem, sign=-1).density)
    assert moved > ordinary + 0.1
    assert wrong < ordinary


def test_steps_bring_the_error_down(problem):
    found = solve(problem, sign=1, iterations=6, tolerance=0.0)
    assert len(found.residuals) == 6
    assert found.residuals[-1] < 0.2 * found.residuals[0]
    assert found.residuals[-1] < 0.15


def test_stops_when_it_is_there(problem):
    found = solve(problem, sign=0, iterations=20, tolerance=0.2)
    assert found.residuals[-1] < 0.2
    assert len(found.residuals) < 20


def test_weights_are_what_the_data_multiply_waves_by(problem):
    """Where nothing moves, the normal matrix is nearly a product in Fourier space."""
    particles, equations, half = problem
    moved = particles(0)
    rows = (half == 0).nonzero()[:, 0].numpy()
    generator = torch.Generator().manual_seed(0)
    smooth = torch.from_numpy(sphere_mask(BOX, 3.0, 5.0))
    noise = moved.grid.take(torch.randn(BOX, BOX, BOX, generator=generator) * smooth)
    image = moved.normal(noise.double(), rows)
    from cryosway.optics import fft3_half, ifft3_half

    weights = FourierWeights.of(equations, 0).weights
    quick = moved.grid.take(ifft3_half(fft3_half(moved.grid.fill(noise.float())) * weights))
    assert torch.corrcoef(torch.stack([image.float(), quick]))[0, 1] > 0.99
    assert float(image.norm() / quick.norm()) == pytest.approx(1, abs=0.05)


def test_nothing_is_moved_in_from_particles_without(molecule, simulate):
    """Where half of the particles lack the arm, the others show it in full."""
    body, arm = molecule
    count = 200
    amounts = np.stack([np.ones(count), np.arange(count) // 2 % 2], axis=1)
    made = simulate([body, arm], count, amounts=amounts, noise=1.0, box=BOX, seed=4)
    source = ImageSource(made.particles, BOX // 2 - 1, noise=NoiseModel(made.noise[None]))
    half, contrast = torch.arange(count) % 2, torch.ones(count)
    weights = FourierWeights.of(accumulate_weighted(source, half, contrast), 0)
    inside = torch.from_numpy(sphere_mask(BOX, 9.0, 2.0)) > 0
    beads = np.stack([[0, 0, -10.0], CENTRE])
    grid = DeformedGrid(inside, PIXEL, *blend_near(voxel_points(inside, PIXEL).numpy(), beads))
    true = torch.from_numpy(arm.volume(BOX, PIXEL)).double()

    def amount_of_arm(present):
        frames = torch.eye(3, 4).repeat(count, 2, 1, 1)
        particles = MovedParticles(source, grid, lambda rows: frames[rows], contrast, present)
        found = solve_moved(particles, np.arange(0, count, 2), weights, tolerance=0.02)
        return float((found.density * true).sum() / true.square().sum())

    known = torch.from_numpy(amounts).float()
    assert amount_of_arm(lambda rows: known[rows]) == pytest.approx(1, abs=0.1)
    assert amount_of_arm(None) == pytest.approx(0.5, abs=0.1)
