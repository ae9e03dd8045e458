"""A neural field is the transform of a real density, in the axes of everything else."""

import math

import numpy as np
import pytest
import torch

from cryosway.optics import extract_slices, fft3_half, random_rotations, volume_to_grid
from cryosway.volumes import (
    ENCODINGS,
    BasisGrid,
    FieldSpec,
    LatentCurves,
    NeuralField,
    NeuralVolume,
    Slices,
    make_wave_vectors,
)

BOX = 16
DOMAINS = ("fourier", "hartley", "anchored")


def make_field(**settings):
    spec = FieldSpec(**{"box": BOX, "latent_dim": 3, "width": 24, **settings})
    return NeuralField(spec, torch.Generator().manual_seed(0)).double()


def make_slices(n=2, seed=0, dtype=torch.float32):
    rng = np.random.default_rng(seed)
    k = torch.arange(-4, 5, dtype=dtype)
    points = torch.stack(torch.meshgrid(k, k, indexing="xy"), -1).flatten(0, 1)
    points = points[points.norm(dim=1) <= 6]
    rotations = torch.from_numpy(random_rotations(n, rng)).to(dtype)
    values = torch.zeros(n, len(points), dtype=torch.complex64)
    return Slices(values, torch.ones(n, len(points)), rotations, points)


@pytest.fixture
def z():
    return torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("conditioning", ["concatenate", "modulate"])
@pytest.mark.parametrize("encoding", ["gaussian", "geom_lowf", "none"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_friedel_symmetry_is_exact(domain, encoding, conditioning, z):
    field = make_field(domain=domain, encoding=encoding, conditioning=conditioning)
    k = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 4
    mate = field(-k, z) * torch.tensor([1.0, -1.0])
    torch.testing.assert_close(field(k, z), mate, rtol=1e-12, atol=1e-12)
    assert field(k, z).std() > 1e-3


@pytest.mark.parametrize("domain", ["hartley", "anchored"])
def test_no_seam_between_the_half_spaces(domain, z):
    """Across the plane z = 0 the field is continuous; that of the half space alone jumps."""
    k = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 4
    above, below = k.clone(), k.clone()
    above[..., 2], below[..., 2] = 1e-7, -1e-7

    def jump(name):
        field = make_field(domain=name)
        one, other = field(above, z).detach(), field(below, z).detach()
        return float((one - other).abs().max() / one.std())

    assert jump(domain) < 1e-4
    assert jump("fourier") > 0.1


@pytest.mark.parametrize("domain", DOMAINS)
def test_slices_are_those_of_the_density(domain):
    field = make_field(domain=domain).float()
    amplitude = 100 * torch.exp(-torch.arange(8) / 3.0)
    volume = NeuralVolume(field, amplitude)
    z = torch.randn(1, 3)
    transform = fft3_half(volume.density(z)[0].double())
    points = torch.tensor([[3.0, 2.0], [0.0, 5.0], [6.0, -3.0], [0.0, 0.0]])
    slices = Slices(
        torch.zeros(1, 4, dtype=torch.complex64), torch.ones(1, 4), torch.eye(3)[None], points
    )
    expected = torch.view_as_real(torch.stack([transform[0, int(y), int(x)] for x, y in points]))
    found = volume.slices(slices, z)[0].detach().double()
    expected[3, 1] = found[3, 1] = 0.0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_anchors_of_constant_amplitude_are_points_of_density():
    """Axes: an anchor at (x, y, z) pixels is density at [z, y, x] from the centre."""
    spec = FieldSpec(box=BOX, latent_dim=1, width=4, domain="anchored", anchors=2)
    places = torch.tensor([[3.0, -2.0, 1.0], [-5.0, 4.0, -3.0]])
    field = NeuralField(spec, support=places)
    torch.nn.init.zeros_(field.last.weight)
    field.last.bias.data = torch.tensor([1.0, 2.0])
    density = NeuralVolume(field, torch.ones(8)).density(torch.zeros(1, 1))[0]
    half = BOX // 2
    assert density[half + 1, half - 2, half + 3] == pytest.approx(density.max().item() / 2, rel=0.1)
    assert np.unravel_index(int(density.argmax()), density.shape) == (half - 3, half + 4, half - 5)


def test_modulation_reaches_what_a_bias_of_the_first_layer_does_not():
    """Beyond the first layer a latent changes the network only where it modulates."""
    field = make_field(conditioning="modulate")
    torch.nn.init.normal_(field.modulation.heads.weight, generator=torch.Generator().manual_seed(4))
    torch.nn.init.zeros_(field.latent.weight)
    k = torch.randn(1, 30, 3, dtype=torch.float64)
    first, second = (field(k, torch.full((1, 3), value).double()) for value in (0.5, -0.5))
    assert (first - second).abs().max() > 1e-3
    plain = make_field(conditioning="concatenate")
    torch.nn.init.zeros_(plain.latent.weight)
    first, second = (plain(k, torch.full((1, 3), value).double()) for value in (0.5, -0.5))
    assert (first - second).abs().max() == 0


class TestLinearPart:
    def basis(self):
        generator = torch.Generator().manual_seed(5)
        axis = torch.arange(BOX) - BOX / 2
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
        envelope = torch.exp(-grid.square().sum(0) / 18)
        return torch.randn(3, BOX, BOX, BOX, generator=generator) * envelope

    def volume(self, **settings):
        field = make_field(**{"latent_dim": 4, **settings}).float()
        field.damp_output(0.0)
        return NeuralVolume(field, torch.ones(8), self.basis())

    def test_a_silent_network_leaves_it_as_it_is(self):
        z = torch.tensor([[0.7, -1.2, 9.0, 9.0]])
        expected = BasisGrid(self.basis(), np.ones(2)).volume(z[0, :2])
        torch.testing.assert_close(self.volume().density(z)[0], expected, rtol=1e-5, atol=1e-5)

    def test_slices_are_those_of_the_grid(self):
        z, slices = torch.tensor([[0.7, -1.2, 9.0, 9.0]] * 2), make_slices()
        whole = BasisGrid(self.basis(), np.ones(2)).volume(z[0, :2])
        expected = extract_slices(volume_to_grid(whole), slices.rotations, slices.points)
        found = torch.view_as_complex(self.volume().slices(slices, z).detach().contiguous())
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)

    def test_maps_count_by_their_curves_in_slices_as_in_densities(self):
        anchors = np.random.default_rng(0).normal(size=(30, 1))
        curves = LatentCurves.fit(anchors, np.ones(1), anchors**2)
        field = make_field(latent_dim=4).float()
        field.damp_output(0.0)
        volume = NeuralVolume(field, torch.ones(8), self.basis(), curves)  # mean, component, map
        assert len(volume.linear) == 2
        z, slices = torch.tensor([[0.7, 9.0, 9.0, 9.0]] * 2), make_slices()
        mean, component, third = self.basis()
        expected = mean + 0.7 * component + curves(z)[0, 0] * third
        assert curves(z)[0, 0].item() == pytest.approx(0.49, abs=0.02)
        torch.testing.assert_close(volume.density(z)[0], expected, rtol=1e-5, atol=1e-5)
        views = extract_slices(volume_to_grid(expected), slices.rotations, slices.points)
        found = torch.view_as_complex(volume.slices(slices, z).detach().contiguous())
        torch.testing.assert_close(found, views, rtol=1e-3, atol=1e-3)

    def test_scaling_reaches_mean_and_rest_apart_and_is_remembered(self):
        volume, z, slices = self.volume(), torch.tensor([[0.7, -1.2, 0, 0]] * 2), make_slices()
        before = volume.base_views(slices, z)
        gains = torch.tensor([2.0, 0.5]).expand(8, 2)
        volume.scale(gains)
        mean, rest = volume.base_views(slices, z)
        torch.testing.assert_close(mean, 2 * before[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(rest, 0.5 * before[1], rtol=1e-3, atol=1e-3)
        volume.scale(torch.linspace(0.5, 2, 16).view(8, 2))
        torch.testing.assert_close(volume.unscaled_linear(), self.basis(), rtol=1e-4, atol=1e-4)

    def test_gradient_flows_to_latents(self):
        z, slices = torch.zeros(2, 4, requires_grad=True), make_slices()
        self.volume().slices(slices, z)[..., 0].sum().backward()
        assert (z.grad[:, :2].abs() > 0).all()
        assert (z.grad[:, 2:] == 0).all()  # the network is silent, the linear part knows two

    def test_gradient_of_rotations_is_that_of_small_turns(self):
        volume, slices = self.volume(), make_slices(1, dtype=torch.float32)
        z = torch.zeros(1, 4)
        angle = torch.zeros((), dtype=torch.float64, requires_grad=True)

        def turned(by):
            cos, sin, one, zero = by.cos(), by.sin(), torch.ones_like(by), torch.zeros_like(by)
            rows = ([cos, -sin, zero], [sin, cos, zero], [zero, zero, one])
            turn = torch.stack([torch.stack(row) for row in rows])
            pull = torch.linspace(-1, 1, len(slices.points) * 2).view(1, -1, 2)
            views = volume.slices(slices, z, turn.float() @ slices.rotations)
            return (views * pull).sum()

        (slope,) = torch.autograd.grad(turned(angle), angle)
        step = torch.tensor(2e-3, dtype=torch.float64)
        numeric = (turned(step) - turned(-step)) / (2 * step)
        assert slope.item() == pytest.approx(numeric.item(), rel=0.05)


def test_autocast_rounds_products_not_coordinates():
    field = make_field(width=64).float()
    volume = NeuralVolume(field, torch.ones(8), TestLinearPart().basis())
    z, slices = torch.randn(2, 3), make_slices()
    exact = volume.slices(slices, z)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = volume.slices(slices, z)
    network = volume.field(slices.points @ slices.rotations[:, :2], z)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).abs().max() > 0
    assert (exact - rounded).norm() < 0.02 * network.norm()


def test_a_coarser_map_keeps_the_density():
    """A slowly varying density has the same values on fewer voxels."""
    axis = torch.arange(BOX) - BOX / 2
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    blob = torch.exp(-grid.square().sum(0) / 18)
    field = make_field(latent_dim=0, domain="anchored").float()
    field.damp_output(0.0)
    volume = NeuralVolume(field, torch.ones(8), blob[None])
    coarse = volume.density(torch.zeros(1, 0), 8)[0]
    torch.testing.assert_close(coarse, blob[::2, ::2, ::2], rtol=0.02, atol=0.01)
    field.damp_output(1.0)
    field.last.bias.data += 1.0
    low = NeuralVolume(field, torch.exp(-torch.arange(8).float().square()))
    fine, coarse = low.density(torch.zeros(1, 0))[0], low.density(torch.zeros(1, 0), 8)[0]
    torch.testing.assert_close(coarse, fine[::2, ::2, ::2], rtol=0.01, atol=0.01)


class TestEncodings:
    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_shape(self, encoding):
        waves = make_wave_vectors(encoding, BOX, 5, 0.5)
        assert waves.shape == (0 if encoding == "none" else 15, 3)

    @pytest.mark.parametrize(
        ("encoding", "first", "last"),
        [
            ("geom_ft", BOX * math.pi, 2 * math.pi),
            ("geom_full", BOX * math.pi, 1.0),
            ("geom_lowf", BOX / 2, 1.0),
            ("geom_nohighf", BOX / 2, 2 * math.pi),
            ("linear_lowf", 1.0, BOX / 2),
        ],
    )
    def test_series_along_each_axis(self, encoding, first, last):
        waves = make_wave_vectors(encoding, BOX, 5, 0.5)
        for axis in range(3):
            mine = waves[5 * axis : 5 * axis + 5]
            assert mine[0, axis].item() == pytest.approx(first)
            assert mine[-1, axis].item() == pytest.approx(last)
            assert mine.norm(dim=1).tolist() == pytest.approx(mine[:, axis].tolist())
        if encoding != "linear_lowf":
            ratios = waves[1:5, 0] / waves[:4, 0]
            assert ratios.tolist() == pytest.approx([float(ratios[0])] * 4)

    def test_gaussian_spread(self):
        waves = make_wave_vectors("gaussian", 64, 2000, 0.5, torch.Generator().manual_seed(0))
        assert waves.std().item() == pytest.approx(0.5 * 32, rel=0.03)
