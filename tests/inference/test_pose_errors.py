"""Errors of the poses are seen as what they are: measured, corrected, and kept from components."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryosway.inference import (
    ImageSource,
    NoiseModel,
    PoseErrors,
    PosePosterior,
    SimulatedNull,
    Stage,
    fit_consensus,
    run_stages,
    split_halves,
    start_fit,
)
from cryosway.inference._pose_errors import (
    gradient,
    measure_spread,
    move_derivatives,
    rigid_directions,
    turn_derivatives,
)
from cryosway.volumes import SliceReader

BOX, PIXEL, COUNT = 32, 3.0, 1200
TURN, MOVE = np.radians(3.0), 0.6  # per axis: radians, pixels
STAGES = [Stage(8, 4, flexible=True), Stage(12, 4, final=True)]


def turned(phantom, vector):
    """The molecule turned about the origin by a rotation vector."""
    matrix = Rotation.from_rotvec(vector).as_matrix()
    return replace_centres(phantom, phantom.centres @ matrix.T)


def replace_centres(phantom, centres):
    return type(phantom)(centres, phantom.weights, phantom.sigma)


def give_wrong_poses(particles, seed=1):
    """The particles with poses in error, and the errors: turns (N, 3), moves (N, 2) in pixels."""
    rng = np.random.default_rng(seed)
    turns = rng.normal(0, TURN, (len(particles), 3))
    moves = rng.normal(0, MOVE, (len(particles), 2))
    back = Rotation.from_rotvec(turns).inv().as_matrix()
    wrong = particles.with_poses(particles.rotations @ back, particles.shifts + moves * PIXEL)
    return wrong, turns, moves


@pytest.fixture(scope="module")
def homogeneous(make_phantom, simulate):
    truth = simulate([make_phantom()], COUNT, noise=2.0, shift=3.0)
    return truth, *give_wrong_poses(truth.particles)


def fit(particles, noise, poses, components=2, stages=STAGES):
    half = split_halves(len(particles), None, 0)
    source = ImageSource(particles, 15)
    consensus = fit_consensus(source, half)
    start = start_fit(consensus, stages, components, contrast=False, seed=0, poses=poses)

    def open_source(radius):
        return source.within(radius).with_noise(NoiseModel(noise[None]))

    *_, state = run_stages(start, stages, open_source, consensus, half)
    return state


@pytest.fixture(scope="module")
def known(homogeneous):
    truth, wrong, _, _ = homogeneous
    return fit(wrong, truth.noise, PoseErrors.start(COUNT, BOX))


# ---------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turn_derivatives_are_what_a_small_turn_changes(make_phantom, axis):
    phantom = make_phantom(radius=20.0)
    angle = 1e-3
    vector = angle * np.eye(3)[axis]
    there, back = (turned(phantom, sign * vector).volume(BOX, PIXEL) for sign in (1, -1))
    expected = (there.astype(float) - back) / (2 * angle)
    found = turn_derivatives(torch.from_numpy(phantom.volume(BOX, PIXEL)))[axis].numpy()
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_gradient_is_minus_what_a_small_move_changes(make_phantom, axis):
    phantom = make_phantom(radius=20.0)
    step = 1e-3 * np.eye(3)[axis]
    there, back = (
        replace_centres(phantom, phantom.centres + sign * step).volume(BOX, PIXEL)
        for sign in (1, -1)
    )
    expected = -(there.astype(float) - back) / (2e-3 / PIXEL)
    found = gradient(torch.from_numpy(phantom.volume(BOX, PIXEL)))[axis].numpy()
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_move_derivatives_are_what_a_small_move_changes(homogeneous):
    truth = homogeneous[0]
    source = ImageSource(truth.particles, 15)
    batch = source.read(np.arange(3))
    views = torch.view_as_real(batch.slices.values)
    found = torch.view_as_complex(move_derivatives(batch, views).permute(3, 0, 1, 2).contiguous())
    step = 1e-3 * BOX  # pixels
    for axis in (0, 1):
        move = torch.zeros(3, 2, dtype=torch.float64)
        move[:, axis] = step
        there, back = (batch.slices.values * source.phases(way * move) for way in (1, -1))
        numeric = (there - back) / 2e-3
        scale = float(numeric.abs().max())
        torch.testing.assert_close(found[axis], numeric, atol=2e-3 * scale, rtol=0)


def test_rigid_directions_are_orthonormal_and_span_turns_and_moves(make_phantom):
    phantom = make_phantom(radius=20.0)
    mean = torch.from_numpy(phantom.volume(BOX, PIXEL))
    directions = rigid_directions(mean, torch.ones(BOX, BOX, BOX))
    torch.testing.assert_close(directions @ directions.T, torch.eye(6), atol=1e-5, rtol=0)
    both = turned(replace_centres(phantom, phantom.centres + 0.02), [0.001, -0.0005, 0.0008])
    change = torch.from_numpy(both.volume(BOX, PIXEL) - mean.numpy()).flatten()
    assert float((directions @ change).norm() / change.norm()) > 0.999


# ---------------------------------------------------------------------------- spreads


@pytest.mark.parametrize("prior", [0.7, 1.0, 3.0])
def test_the_spread_found_is_the_true_one_whatever_the_prior(prior):
    rng = np.random.default_rng(0)
    width = rng.uniform(0.2, 2.0, 20_000) ** 2
    peak = rng.normal(0, 0.7, width.shape) + rng.normal(size=width.shape) * np.sqrt(width)
    variance = 1 / (1 / width + 1 / prior**2)
    mean = variance * peak / width
    assert measure_spread(mean, variance, prior) == pytest.approx(0.7, rel=0.05)


def test_what_is_something_else_does_not_count():
    rng = np.random.default_rng(0)
    width = rng.uniform(0.2, 2.0, 20_000) ** 2
    peak = rng.normal(0, 0.7, width.shape) + rng.normal(size=width.shape) * np.sqrt(width)
    peak[:600] = 10.0  # a wrong pose is no small error
    spread = 3.0
    for _ in range(5):
        variance = 1 / (1 / width + 1 / spread**2)
        spread = measure_spread(variance * peak / width, variance, spread)
    assert spread == pytest.approx(0.7, rel=0.12)


def test_no_spread_is_found_in_noise_alone():
    rng = np.random.default_rng(1)
    width = np.full(20_000, 0.5)
    peak = rng.normal(size=width.shape) * np.sqrt(width)
    variance = 1 / (1 / width + 1)
    assert measure_spread(variance * peak / width, variance, 1.0) < 0.12
    assert measure_spread(peak, variance, 0.0) == 0


def test_small_spreads_are_none():
    start = PoseErrors.start(10, BOX)
    nothing = PosePosterior(np.zeros((10, 5)), np.array([start.variances] * 10) / 100)
    found = start.updated(nothing, BOX)
    assert (found.turn_sd, found.move_sd) == (0, 0)
    assert not found.active


# ---------------------------------------------------------------------------- fits


def test_errors_are_measured(known):
    poses = known.poses
    assert poses.turn_sd == pytest.approx(TURN, rel=0.15)
    assert poses.move_sd * BOX == pytest.approx(MOVE, rel=0.15)


def test_poses_are_corrected(known, homogeneous):
    _, _, turns, moves = homogeneous
    left = np.sqrt(np.mean((known.poses.turns - turns) ** 2))
    assert left < 0.6 * TURN
    left = np.sqrt(np.mean((known.poses.moves * BOX - moves) ** 2))
    assert left < 0.4 * MOVE


def test_components_do_not_show_the_errors(known, homogeneous):
    truth, wrong, _, _ = homogeneous
    naive = fit(wrong, truth.noise, None)
    assert naive.history[-1]["variance_1"] > 4 * known.history[-1]["variance_1"]
    assert known.history[-1]["evidence"] > naive.history[-1]["evidence"]


def test_a_motion_is_not_taken_for_errors(make_phantom, simulate):
    body = make_phantom(balls=40, radius=20.0)
    domain = make_phantom(balls=12, radius=8.0, offset=(24.0, 0.0, 0.0), seed=1)
    moved = replace_centres(domain, domain.centres + np.array([0.0, 14.0, 0.0]))
    second = np.random.default_rng(0).random(COUNT) < 0.5
    amounts = np.stack([np.ones(COUNT), ~second, second], axis=1).astype(float)
    truth = simulate([body, domain, moved], COUNT, amounts=amounts, noise=2.0)
    stages = [Stage(8, 4, flexible=True), Stage(10, 8), Stage(12, 4, final=True)]
    state = fit(truth.particles, truth.noise, PoseErrors.start(COUNT, BOX), stages=stages)
    assert np.sqrt(np.mean(state.poses.turns**2)) < np.radians(0.5)
    assert np.sqrt(np.mean((state.poses.moves * BOX) ** 2)) < 0.1
    told = abs(np.corrcoef(state.posterior.mean[:, 0], second)[0, 1])
    assert told > 0.9


def test_what_has_been_corrected_is_still_unlikely_by_the_prior():
    start = PoseErrors.start(4, BOX)
    found = PosePosterior(np.full((4, 5), 0.01), np.full((4, 5), 1e-6))
    once = start.corrected(found)
    np.testing.assert_allclose(once.turns, 0.01)
    np.testing.assert_allclose(once.expected(np.arange(4)), -0.01)
    # An image that says nothing lets the pose go back to where it was given.
    np.testing.assert_allclose(
        once.corrected(PosePosterior(np.zeros((4, 5)), found.variance)).turns, 0
    )


# ---------------------------------------------------------------------------- sources


def test_corrections_of_a_source_are_those_of_its_particles(homogeneous):
    truth, wrong, turns, moves = homogeneous
    right = ImageSource(truth.particles, 10)
    mended = ImageSource(wrong, 10).with_corrections(turns, moves / BOX)
    rows = np.arange(5)
    a, b = right.read(rows).slices, mended.read(rows).slices
    torch.testing.assert_close(a.rotations, b.rotations, atol=1e-6, rtol=0)
    scale = float(a.values.abs().max())
    torch.testing.assert_close(a.values, b.values, atol=1e-5 * scale, rtol=0)
    again = mended.sample(500)
    torch.testing.assert_close(again.rotations[0], mended.rotations[0])


def test_a_null_with_errors_has_them_until_corrected(homogeneous, make_phantom):
    truth = homogeneous[0]
    noise = NoiseModel(truth.noise[None])
    source = ImageSource(truth.particles, 12, noise=noise)
    mean = torch.from_numpy(make_phantom().volume(BOX, PIXEL))

    def misfit(stream):
        reader = SliceReader(mean[None])
        left = []
        for batch in stream:
            clean = torch.view_as_complex(reader.read(batch.slices)[..., 0].contiguous())
            left.append(batch.slices.values - batch.slices.filters * clean)
        return float(torch.cat(left).abs().square().mean())

    spreads = {"turn_sd": TURN, "move_sd": MOVE / BOX}
    null = SimulatedNull(source, mean, np.ones(COUNT), 3, **spreads)
    rng = np.random.default_rng([3, 1])
    turns, moves = rng.normal(0, TURN, (COUNT, 3)), rng.normal(0, MOVE / BOX, (COUNT, 2))
    assert misfit(SimulatedNull(source, mean, np.ones(COUNT), 3)) == pytest.approx(1, abs=0.02)
    assert misfit(null) > 1.1
    assert misfit(null.with_corrections(turns, moves)) == pytest.approx(1, abs=0.02)
