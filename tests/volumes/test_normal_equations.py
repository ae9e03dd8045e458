"""Normal equations: dense data give the volume back; the kernel is its plain twin; priors."""

import numpy as np
import pytest
import torch

from cryosway.optics import make_disc, random_rotations, shell_power
from cryosway.optics._slice_kernels import scatter_slices
from cryosway.validate import fsc, make_solvent_mask, sphere_mask
from cryosway.volumes import NormalEquations, Slices

BOX, PIXEL = 32, 3.0


def half_of(count):
    return torch.arange(count) % 2


def add_single(equations, slices, part=None):
    ones = torch.ones(len(slices.values), 1)
    equations.add(slices, ones, ones, half_of(len(ones)) if part is None else part)


def tiny_ridge(equations):
    shells = equations.box // 2
    return torch.full((equations.channels, shells), 1e-4 * float(equations.weight_power(4).mean()))


@pytest.fixture(scope="module")
def phantom(make_phantom):
    return make_phantom()


@pytest.mark.parametrize("with_ctf", [False, True])
def test_dense_views_give_the_volume_back(phantom, make_slices, oscillating, with_ctf):
    """Gridding correction, padding, Hermitian symmetry and CTF division: to near Nyquist."""
    truth = phantom.volume(BOX, PIXEL)
    filters = oscillating if with_ctf else None
    equations = NormalEquations(BOX // 2 - 1, 1)
    add_single(equations, make_slices([phantom], 1200, BOX, filters=filters))
    found = equations.solve(tiny_ridge(equations))[0].numpy()
    assert found.shape == (BOX, BOX, BOX)
    assert fsc(found, truth)[: BOX // 2 - 1].min() > 0.99
    scale = (found * truth).sum() / (truth * truth).sum()
    assert scale == pytest.approx(1, abs=0.02)
    mask = make_solvent_mask(truth, PIXEL)
    assert np.linalg.norm((found - truth) * mask) < 0.03 * np.linalg.norm(truth)
    # No data lie between k = 0 and 1, so a faint level is left around the molecule; in it, the
    # DC term is right.
    assert (found * mask).sum() == pytest.approx(truth.sum(), rel=0.08)


def test_both_halves_and_all_agree_without_noise(phantom, make_slices):
    truth = phantom.volume(BOX, PIXEL)
    equations = NormalEquations(BOX // 2 - 1, 1)
    add_single(equations, make_slices([phantom], 1200, BOX))
    for part in (0, 1):
        half = equations.solve(tiny_ridge(equations), part)[0].numpy()
        assert fsc(half, truth)[: BOX // 2 - 2].min() > 0.98


def test_a_smaller_radius_gives_a_smaller_box_with_the_same_coarse_shells(phantom, make_slices):
    radius = 9
    equations = NormalEquations(radius, 1)
    assert equations.box == 20
    add_single(equations, make_slices([phantom], 600, BOX, radius=radius))
    found = equations.solve(tiny_ridge(equations))[0].numpy()
    # Same field of view, so (32/20)³ times the sum per voxel is the density on coarser voxels.
    truth = phantom.volume(20, PIXEL * BOX / 20) * (BOX / 20) ** 3
    assert fsc(found, truth)[:8].min() > 0.99
    low = shell_power(torch.from_numpy(np.stack([found, truth])), 8)
    np.testing.assert_allclose(low[0, 1:], low[1, 1:], rtol=0.08)


def test_coupled_solve_separates_mean_and_components(phantom, make_phantom, make_slices):
    """Images show V₀ + z₁ V₁ + z₂ V₂ with known z: every volume comes back."""
    others = [
        make_phantom(balls=8, radius=20, seed=s) - make_phantom(balls=8, seed=s + 1) for s in (5, 7)
    ]
    rng = np.random.default_rng(1)
    z = rng.normal(size=(1500, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])
    amounts = np.concatenate([np.ones((1500, 1)), z], axis=1)
    slices = make_slices([phantom, *others], 1500, BOX, amounts=amounts)
    equations = NormalEquations(BOX // 2 - 1, 3)
    first = torch.from_numpy(amounts)
    equations.add(slices, first, first[:, :, None] * first[:, None, :], half_of(1500))
    found = equations.solve(tiny_ridge(equations)).numpy()
    for volume, molecule in zip(found, [phantom, *others], strict=True):
        truth = molecule.volume(BOX, PIXEL)
        assert fsc(volume, truth)[2:14].min() > 0.97
        inside = sphere_mask(BOX, 11)
        difference = (volume - truth) * inside
        assert np.linalg.norm(difference) < 0.06 * np.linalg.norm(truth * inside)


def test_uncoupled_volumes_are_solved_each_alone(phantom, make_phantom, make_slices):
    """Weights of 0 and 1 sort the images of two molecules into two channels."""
    other = make_phantom(seed=3)
    chosen = np.random.default_rng(0).random(1200) < 0.5
    amounts = np.stack([chosen, ~chosen], axis=1).astype(float)
    slices = make_slices([phantom, other], 1200, BOX, amounts=amounts)
    equations = NormalEquations(BOX // 2 - 1, 2, coupled=False)
    weights = torch.from_numpy(amounts)
    equations.add(slices, weights, weights, half_of(1200))
    for volume, molecule in zip(
        equations.solve(tiny_ridge(equations)), (phantom, other), strict=True
    ):
        assert fsc(volume.numpy(), molecule.volume(BOX, PIXEL))[: BOX // 2 - 2].min() > 0.98


def random_slices(count=25, box=16, radius=7, seed=0):
    rng = np.random.default_rng(seed)
    disc = make_disc(box, radius)
    shape = (count, len(disc.points))
    filters = rng.normal(size=shape)
    filters[:, 3] = 0
    return Slices(
        torch.from_numpy(rng.normal(size=shape) + 1j * rng.normal(size=shape)).to(torch.complex64),
        torch.from_numpy(filters).float(),
        torch.from_numpy(random_rotations(count, rng)).float(),
        disc.points.float(),
    )


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(("channels", "coupled"), [(1, True), (3, True), (2, False), (4, False)])
def test_kernel_equals_its_plain_twin(parts, channels, coupled):
    slices = random_slices()
    rng = np.random.default_rng(1)
    first = torch.from_numpy(rng.normal(size=(25, channels)))
    second = first[:, :, None] * first[:, None, :] if coupled else first**2
    part = torch.from_numpy(rng.integers(-1, parts, 25))
    fast, plain = (NormalEquations(7, channels, parts=parts, coupled=coupled) for _ in range(2))
    fast.add(slices, first, second, part)
    packed = second[:, plain.pairs[0], plain.pairs[1]] if coupled else second
    plain._add_plain(slices, torch.cat([first, packed], 1).float(), part)
    scale = plain.sums.abs().max()
    assert scale > 0
    assert (fast.sums - plain.sums).abs().max() < 1e-4 * scale
    ridge = torch.full((channels, 8), 0.1)
    a, b = fast.solve(ridge), plain.solve(ridge)
    assert (a - b).abs().max() < 1e-4 * b.abs().max()


@pytest.mark.parametrize("teams", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_teams_of_threads_divide_the_work_without_a_trace(teams, channels):
    slices = random_slices()
    moments = np.random.default_rng(2).normal(size=(25, 2 * channels)).astype(np.float32)
    part = np.arange(25) % 2
    results = []
    for members in (1, teams):
        sums = np.zeros((2, 32 * 32 * 17, 3 * channels), np.float32)
        scatter_slices(
            sums,
            slices.rotations.numpy(),
            slices.points.numpy(),
            slices.values.numpy(),
            slices.filters.numpy(),
            moments,
            part,
            32,
            members,
        )
        results.append(sums)
    np.testing.assert_allclose(results[1], results[0], atol=1e-6 * np.abs(results[0]).max())


def test_two_batches_are_as_good_as_one():
    slices = random_slices()
    once, twice = NormalEquations(7, 1), NormalEquations(7, 1)
    add_single(once, slices)
    for rows in (slice(0, 11), slice(11, 25)):
        piece = Slices(
            slices.values[rows], slices.filters[rows], slices.rotations[rows], slices.points
        )
        add_single(twice, piece, half_of(25)[rows])
    np.testing.assert_allclose(twice.sums, once.sums, atol=1e-5 * once.sums.abs().max())


def test_a_mixture_of_few_volumes_is_as_good_as_scattering_into_many():
    """Weights U V: into the columns of U first, then to those of V."""
    slices = random_slices()
    rng = np.random.default_rng(3)
    basis, mixing = rng.normal(size=(25, 2)), torch.from_numpy(rng.normal(size=(2, 4)))
    direct = NormalEquations(7, 4, parts=2, coupled=False)
    weights = torch.from_numpy(basis) @ mixing
    direct.add(slices, weights, 3 * weights, torch.ones(25))
    mixed = NormalEquations(7, 4, parts=2, coupled=False)
    few = NormalEquations(7, 2, parts=1, coupled=False)
    weights = torch.from_numpy(basis)
    few.add(slices, weights, 3 * weights, torch.zeros(25))
    mixed.add_mixture(few, mixing, part=1)
    np.testing.assert_allclose(mixed.sums, direct.sums, atol=1e-5 * direct.sums.abs().max())
    few.clear()
    mixed.add_mixture(few, mixing, part=0)
    assert mixed.sums[0].abs().max() == 0
    mixed.solve(torch.ones(4, 8))
    with pytest.raises(RuntimeError, match="closed"):
        mixed.add_mixture(few, mixing)


def test_a_picked_volume_is_solved_as_among_the_others():
    slices = random_slices()
    equations = NormalEquations(7, 3, parts=2, coupled=False)
    amounts = torch.from_numpy(np.random.default_rng(4).random((25, 3)))
    equations.add(slices, amounts, amounts, half_of(25))
    picked = equations.pick(1)
    ridge = torch.full((3, 8), 0.1)
    for part in (0, 1, None):
        expected = equations.solve(ridge, part)[1]
        assert (picked.solve(ridge[:1], part)[0] - expected).abs().max() < 1e-6


def test_an_image_of_no_part_is_left_out():
    slices = random_slices()
    equations = NormalEquations(7, 1)
    add_single(equations, slices, torch.full((25,), -1))
    assert equations.sums.abs().max() == 0


def test_solved_equations_take_no_more_data():
    slices = random_slices()
    equations = NormalEquations(7, 1)
    add_single(equations, slices)
    equations.solve(torch.ones(1, 8))
    with pytest.raises(RuntimeError, match="closed"):
        add_single(equations, slices)


def test_every_view_adds_its_weight_to_the_shells():
    """A slice through a sphere of radius k adds 2πk Δk points to 4πk² Δk coefficients."""
    count = 4000
    rng = np.random.default_rng(0)
    disc = make_disc(BOX, 15)
    shape = (count, len(disc.points))
    slices = Slices(
        torch.zeros(shape, dtype=torch.complex64),
        torch.full(shape, 2.0),
        torch.from_numpy(random_rotations(count, rng)).float(),
        disc.points.float(),
    )
    equations = NormalEquations(15, 1)
    add_single(equations, slices)
    power = equations.weight_power(14)[0].numpy()
    k = np.arange(4, 14)
    np.testing.assert_allclose(power[4:], 4.0 * count / (2 * k), rtol=0.06)
    halves = equations.weight_power(14, 0)[0] + equations.weight_power(14, 1)[0]
    np.testing.assert_allclose(halves, power, rtol=1e-4)


def test_the_true_prior_is_the_best(make_slices, make_phantom):
    """A random density in a mask, in noise: damp with the power it would have in the whole box."""
    rng = np.random.default_rng(0)
    box = 24
    mask = torch.from_numpy(sphere_mask(box, 6.0, 3.0))
    balls = make_phantom(balls=300, radius=18.0, sigma=3.3, seed=2)
    signed = type(balls)(balls.centres, rng.normal(size=300), balls.sigma)
    truth = torch.from_numpy(signed.volume(box, PIXEL))
    clean = make_slices([signed], 400, box)
    noise = float(np.sqrt(2.0) * clean.values.abs().square().mean().sqrt())
    fresh = torch.view_as_complex(
        torch.from_numpy(rng.normal(size=(*clean.values.shape, 2)) * np.sqrt(0.5)).float()
    )
    slices = Slices(
        clean.values / noise + fresh, clean.filters / noise, clean.rotations, clean.points
    )
    equations = NormalEquations(box // 2 - 1, 1)
    add_single(equations, slices)
    power = shell_power((truth * mask)[None], box // 2) / float(mask.square().mean())

    def error(factor):
        return float((equations.solve(1 / (factor * power))[0] * mask - truth).square().sum())

    for factor in (1 / 8, 1 / 3, 3, 8):
        assert error(1.0) < error(factor)
