"""Beads in projection are the sum over beads, and the projection of their density."""

import math

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.optics import fft3_half, make_disc, random_rotations
from cryosway.volumes import Slices
from cryosway.volumes._atomic_model import AtomicModel
from cryosway.volumes._bead_widths import fit_width_basis, gaussian_profile

PIXEL = 1.5


def make_views(box, n=2, seed=0, dtype=torch.float64, radius=None):
    disc = make_disc(box, box // 2 - 1 if radius is None else radius)
    rotations = torch.from_numpy(random_rotations(n, np.random.default_rng(seed))).to(dtype)
    values = torch.zeros(n, len(disc.points), dtype=torch.complex64)
    return Slices(values, torch.ones(values.shape), rotations, disc.points.float())


def make_beads(count=40, radius=18.0, seed=0, n=None):
    draw = torch.Generator().manual_seed(seed)
    shape = (count, 3) if n is None else (n, count, 3)
    positions = torch.randn(shape, generator=draw, dtype=torch.float64) * radius / 2
    amplitudes = torch.rand(count, generator=draw, dtype=torch.float64) + 0.5
    return positions, amplitudes


def sum_directly(model, slices, positions, rotations=None, occupancies=None):
    """Σ a exp(−2π²σ²s²) exp(−2πi s·Rx), term by term."""
    rotations = slices.rotations if rotations is None else rotations
    s = slices.points.double() / (model.box * model.pixel_size)
    seen = torch.einsum("nab,njb->nja", rotations[:, :2], positions.expand(len(rotations), -1, -1))
    phases = torch.exp(-2j * math.pi * torch.einsum("nja,pa->njp", seen, s))
    sigmas = model.sigmas.expand(positions.shape[-2])
    profile = torch.exp(-2 * math.pi**2 * sigmas[:, None] ** 2 * s.square().sum(-1))
    amounts = model.amplitudes if occupancies is None else model.amplitudes * occupancies
    amounts = amounts.expand(len(rotations), -1)
    return torch.view_as_real(torch.einsum("nj,jp,njp->np", amounts + 0j, profile + 0j, phases))


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("box", [32, 33, 48])
def test_views_are_the_sum_over_beads(box, spread):
    positions, amplitudes = make_beads(n=2)
    sigmas = 2.0 + spread * torch.linspace(-1, 1, 40, dtype=torch.float64)
    model = AtomicModel(box, PIXEL, amplitudes, sigmas)
    slices = make_views(box)
    got = model.slices(slices, positions)
    want = sum_directly(model, slices, positions)
    assert (got - want).norm(dim=-1).max() < 1e-4 * amplitudes.sum()
    single = AtomicModel(box, PIXEL, amplitudes.float(), sigmas.float())
    views = single.slices(slices, positions.float())
    assert views.dtype == torch.float32
    assert (views - want).norm(dim=-1).max() < 1e-4 * amplitudes.sum()


def test_the_peak_is_the_sum_of_the_amplitudes():
    positions, amplitudes = make_beads()
    model = AtomicModel(32, PIXEL, amplitudes, 2.0)
    slices = make_views(32)
    origin = slices.points.norm(dim=-1) == 0
    peak = model.slices(slices, positions)[:, origin, 0]
    torch.testing.assert_close(peak, amplitudes.sum().expand(2, 1), rtol=1e-4, atol=0)


@pytest.mark.parametrize("box", [32, 33])
def test_an_image_shows_a_bead_where_it_is(box):
    """At voxel D//2 plus its place in pixels, x to the right and y down: odd boxes, too."""
    model = AtomicModel(box, PIXEL, torch.ones(1).double(), 2.5)
    slices = make_views(box, n=1)
    position = torch.tensor([[3.0, -4.5, 7.0]]).double()
    views = torch.view_as_complex(model.slices(slices, position, torch.eye(3).double()[None]))[0]
    full = torch.zeros(box, box, dtype=torch.complex128)
    for (kx, ky), value in zip(slices.points.long().tolist(), views, strict=True):
        full[ky % box, kx % box] = value
        full[-ky % box, -kx % box] = value.conj()
    image = torch.fft.fftshift(torch.fft.ifft2(full).real)
    row, column = divmod(int(image.argmax()), box)
    assert (column - box // 2, row - box // 2) == (2, -3)
    level = PIXEL**2 / (2 * math.pi * 2.5**2)
    assert float(image.max()) == pytest.approx(level, rel=0.01)


def test_views_are_slices_of_the_density():
    positions, amplitudes = make_beads()
    sigmas = torch.linspace(2.4, 3.0, 40).double()
    model = AtomicModel(48, PIXEL, amplitudes, sigmas)
    slices = make_views(48)
    density = model.density(positions)
    assert density.shape == (48, 48, 48)
    transform = fft3_half(density.double())
    # Views along the axes, whose slices are planes of the grid.
    turns = torch.stack([torch.eye(3), torch.eye(3).roll(1, 0), torch.eye(3).roll(2, 0)]).double()
    got = torch.view_as_complex(model.slices(slices, positions, turns))
    for turn, view in zip(turns, got, strict=True):
        k = (slices.points.double() @ turn[:2]).long()
        k = torch.where(k[:, :1] < 0, -k, k), k[:, 0] < 0
        seen = transform[k[0][:, 2], k[0][:, 1], k[0][:, 0]]
        seen = torch.where(k[1], seen.conj(), seen)
        assert (view - seen).abs().max() < 1e-4 * amplitudes.sum()


@pytest.mark.parametrize("box", [32, 33])
def test_the_density_is_the_sum_of_gaussians(box):
    positions, amplitudes = make_beads(count=5, n=2)
    sigmas = torch.linspace(1.0, 2.0, 5).double()
    model = AtomicModel(24, PIXEL, amplitudes, sigmas)
    occupancies = torch.tensor([[1.0, 1, 1, 1, 1], [1, 0, 1, 0.5, 1]])
    got = model.density(positions, box, 2.0, occupancies)
    axis = (torch.arange(box) - box // 2).double() * 2.0
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    grid = torch.stack([x, y, z], dim=-1)
    for n in range(2):
        want = sum(
            amplitudes[j]
            * occupancies[n, j]
            * PIXEL**3
            * (2 * math.pi * sigmas[j] ** 2) ** -1.5
            * torch.exp(-(grid - positions[n, j]).square().sum(-1) / (2 * sigmas[j] ** 2))
            for j in range(5)
        )
        assert (got[n] - want).abs().max() < 2e-5 * want.max()


def test_a_density_in_a_coarser_box_has_the_same_values():
    positions, amplitudes = make_beads(count=1)
    model = AtomicModel(48, PIXEL, amplitudes, 3.0)
    fine = model.density(positions * 0)
    coarse = model.density(positions * 0, 24, 2 * PIXEL)
    torch.testing.assert_close(fine[::2, ::2, ::2], coarse)


def test_beads_outside_the_box_or_nowhere_leave_the_density_alone():
    model = AtomicModel(16, PIXEL, torch.ones(3), 2.0)
    places = torch.tensor([[0.0, 0, 0], [400.0, 0, 0], [math.nan, 0, 0]])
    alone = AtomicModel(16, PIXEL, torch.ones(1), 2.0).density(places[:1])
    torch.testing.assert_close(model.density(places), alone)


@pytest.mark.parametrize("widths", ["one", "many"])
def test_gradients_are_those_of_the_sum_over_beads(widths):
    """Of positions, views, occupancies, amplitudes and widths."""
    positions, amplitudes = make_beads(count=20, n=2)
    sigmas = torch.linspace(1.7, 2.4, 20).double() if widths == "many" else 2.0
    slices = make_views(24)
    pull = torch.randn((*slices.values.shape, 2), generator=torch.Generator().manual_seed(3))
    found = []
    for direct in (False, True):
        model = AtomicModel(24, PIXEL, amplitudes, sigmas, tunable=True, tolerance=1e-5)
        leaves = [
            positions.clone().requires_grad_(),
            torch.zeros(2, 3, dtype=torch.float64).requires_grad_(),
            torch.ones(2, 20, dtype=torch.float64).requires_grad_(),
        ]
        view = sum_directly if direct else AtomicModel.slices
        turned = slices.rotations @ torch.linalg.matrix_exp(make_skew(leaves[1]))
        (view(model, slices, leaves[0], turned, leaves[2]) * pull).sum().backward()
        found.append([leaf.grad for leaf in [*leaves, model.amplitudes, model.sigmas]])
    for fast, direct in zip(*found, strict=True):
        assert (fast - direct).abs().max() < 1e-3 * direct.abs().max()


def test_gradients_are_exact():
    positions, amplitudes = make_beads(count=4, radius=10, n=2)
    slices = make_views(16, radius=4)
    model = AtomicModel(16, PIXEL, amplitudes, 2.0, tunable=True)

    def view(positions, amplitudes, sigmas, turns):
        rotations = slices.rotations @ torch.linalg.matrix_exp(make_skew(turns))
        held = {"amplitudes": amplitudes, "sigmas": sigmas}
        return torch.func.functional_call(
            _Views(model),
            {f"model.{k}": v for k, v in held.items()},
            (slices, positions, rotations),
        )

    turns = torch.full((2, 3), 0.1, dtype=torch.float64)
    leaves = (positions, amplitudes, torch.tensor([2.0]).double(), turns)
    assert torch.autograd.gradcheck(view, [leaf.requires_grad_() for leaf in leaves], atol=1e-6)


def make_skew(turns):
    """Cross products with vectors (n, 3) as matrices."""
    return torch.linalg.cross(turns[:, None], torch.eye(3).to(turns)[None].expand(len(turns), 3, 3))


class _Views(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, slices, positions, rotations):
        return self.model.slices(slices, positions, rotations)


def test_shared_positions_and_occupancies():
    positions, amplitudes = make_beads()
    model = AtomicModel(32, PIXEL, amplitudes, 2.0)
    slices = make_views(32)
    both = model.slices(slices, positions.expand(2, -1, -1))
    torch.testing.assert_close(model.slices(slices, positions), both)
    half = torch.ones(2, 40).double()
    half[1, 20:] = 0
    seen = model.slices(slices, positions, occupancies=half)
    torch.testing.assert_close(seen[0], both[0])
    want = sum_directly(model, slices, positions, occupancies=half)
    assert (seen - want).norm(dim=-1).max() < 1e-4 * amplitudes.sum()


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_images_of_a_finer_pixel_reach_higher_frequencies(spread):
    """Their rotations are longer by the ratio of the pixels: as if the model had their pixel."""
    positions, amplitudes = make_beads()
    sigmas = 2.0 + spread * torch.linspace(-1, 1, 40, dtype=torch.float64)
    coarse, fine = (AtomicModel(32, size, amplitudes, sigmas) for size in (PIXEL, PIXEL / 1.2))
    slices = make_views(32, n=3, radius=12)
    scales = torch.tensor([1.0, 1.2, 1.2]).double()[:, None, None]
    seen = coarse.slices(slices, positions, slices.rotations * scales)
    tolerance = 2e-4 * float(amplitudes.sum())
    for image, model in enumerate((coarse, fine, fine)):
        alone = model.slices(slices, positions)[image]
        torch.testing.assert_close(seen[image], alone, rtol=0, atol=tolerance)
    assert (seen[1] - coarse.slices(slices, positions)[1]).abs().max() > 100 * tolerance


def test_few_profiles_for_many_beads_and_one_for_one_width():
    draw = torch.Generator().manual_seed(0)
    sigmas = torch.rand(3000, generator=draw, dtype=torch.float64) + 1.5
    amplitudes = torch.ones(3000, dtype=torch.float64)
    assert fit_width_basis(sigmas, amplitudes, 0.25, 1e-4).classes <= 4
    assert fit_width_basis(sigmas[:1].expand(9), amplitudes[:9], 0.25, 1e-4).classes == 1
    two = torch.tensor([1.5, 2.5]).double().repeat(4)
    basis = fit_width_basis(two, amplitudes[:8], 0.25, 1e-12)
    assert basis.classes == 2
    s_squared = torch.linspace(0, 0.25**2, 50).double()
    exact = gaussian_profile(two.square(), s_squared)
    torch.testing.assert_close(basis.weights(two.square()).T @ basis.profiles(s_squared), exact)


def test_the_profiles_follow_the_widths():
    """Loading other widths into a model that has been used already gives their views."""
    positions, amplitudes = make_beads()
    narrow = AtomicModel(32, PIXEL, amplitudes, torch.linspace(1.5, 1.9, 40).double())
    wide = AtomicModel(32, PIXEL, amplitudes, torch.linspace(2.5, 3.9, 40).double())
    slices = make_views(32)
    before = narrow.slices(slices, positions)
    narrow.load_state_dict(wide.state_dict())
    torch.testing.assert_close(narrow.slices(slices, positions), wide.slices(slices, positions))
    assert (before - wide.slices(slices, positions)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("sigmas", "words"),
    [
        (torch.tensor([2.0, 0.0, 2.0]), "width of bead 1 is 0"),
        (torch.tensor([2.0, 2.0]), "3 beads have 2 widths"),
        (math.nan, "width of bead 0 is nan"),
    ],
)
def test_widths_that_are_none_are_refused(sigmas, words):
    with pytest.raises(CryoswayError, match=words):
        AtomicModel(16, PIXEL, torch.ones(3), sigmas)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_views_on_a_gpu_are_those_of_the_cpu(spread):
    positions, amplitudes = make_beads(n=2)
    sigmas = 2.0 + spread * torch.linspace(-1, 1, 40, dtype=torch.float64)
    slices = make_views(32)
    found = []
    for device in ("cpu", "cuda"):
        model = AtomicModel(32, PIXEL, amplitudes, sigmas, tunable=True).to(device)
        there = Slices(
            *(
                t.to(device)
                for t in (slices.values, slices.filters, slices.rotations, slices.points)
            )
        )
        leaf = positions.to(device).requires_grad_()
        views = model.slices(there, leaf)
        views.square().sum().backward()
        grads = [leaf.grad, model.amplitudes.grad, model.sigmas.grad]
        found.append([t.detach().cpu() for t in (views, *grads)])
    for here, other in zip(*found, strict=True):
        torch.testing.assert_close(other, here, rtol=1e-8, atol=1e-8)
