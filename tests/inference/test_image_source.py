"""Image source: centred, whitened coefficients in the frame of the equation of image formation."""

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.inference import ImageSource, NoiseModel, ShellSums, total_power
from cryosway.optics import CtfParams, compute_ctf
from cryosway.volumes import SliceReader

BOX, PIXEL = 32, 3.0


def gather(source):
    batches = list(source)
    return (
        torch.cat([b.slices.values for b in batches]).numpy(),
        torch.cat([b.slices.filters for b in batches]).numpy(),
    )


@pytest.fixture(scope="module")
def phantom(make_phantom):
    return make_phantom()


@pytest.mark.parametrize("shift", [0.0, 9.0])
def test_values_are_ctf_times_central_slice_whatever_the_shift(phantom, simulate, shift):
    """The stored shift brings the content, which sits at minus it, to the centre."""
    truth = simulate([phantom], 12, shift=shift)
    source = ImageSource(truth.particles, 15)
    values, filters = gather(source)
    frequencies = source.disc.frequencies.numpy()
    expected = phantom.slices(truth.rotations, frequencies, PIXEL)
    ctf = compute_ctf(source.disc.frequencies, CtfParams.from_table(truth.particles.ctf)).numpy()
    np.testing.assert_allclose(filters, ctf, atol=1e-6)
    np.testing.assert_allclose(values, ctf * expected, atol=2e-3 * np.abs(expected).max())


def test_the_sign_makes_dark_protein_white(phantom, simulate):
    white, dark = simulate([phantom], 8), simulate([phantom], 8, sign=-1)
    expected = gather(ImageSource(white.particles, 10))[0]
    for sign in (-1, np.full(8, -1.0)):
        values = gather(ImageSource(dark.particles, 10, sign=sign))[0]
        np.testing.assert_allclose(values, expected, atol=1e-3)


def test_whitened_noise_has_unit_variance_in_every_shell(phantom, simulate):
    truth = simulate([phantom], 300, amounts=np.zeros((300, 1)), noise=2.0)
    source = ImageSource(truth.particles, 15, noise=NoiseModel(truth.noise[None]))
    values, filters = gather(source)
    shell = source.disc.shell.numpy()
    power = np.array([np.mean(np.abs(values[:, shell == s]) ** 2) for s in range(1, 16)])
    np.testing.assert_allclose(power, 1, atol=0.08)
    plain = gather(ImageSource(truth.particles, 15))[1]
    np.testing.assert_allclose(filters * np.sqrt(truth.noise)[shell], plain, rtol=1e-5)


def test_total_power_is_the_mean_square_of_the_images(phantom, simulate):
    truth = simulate([phantom], 300, amounts=np.zeros((300, 1)), noise=2.0)
    source = ImageSource(truth.particles, 15)
    for whitened in (source, source.with_noise(NoiseModel(truth.noise[None]))):
        power = total_power(whitened).power
        assert power.shape == (1, 16)
        np.testing.assert_allclose(power[0, 1:], truth.noise[1:], rtol=0.1)


def test_groups_of_different_pixel_size_meet_at_the_same_frequencies(phantom, simulate):
    """One molecule at 3.0 and 2.4 Å/px: all slices are those of the volume at 3.0 Å/px."""
    truth = simulate([phantom], 20, pixels=(3.0, 2.4))
    source = ImageSource(truth.particles, 12)
    assert source.pixel_size == pytest.approx(3.0)
    reader = SliceReader(torch.from_numpy(phantom.volume(BOX, 3.0))[None])
    (batch,) = source
    read = torch.view_as_complex(reader.read(batch.slices)[..., 0].contiguous())
    read = read * batch.slices.filters
    for group, scale in ((0, 1.0), (1, (3.0 / 2.4) ** 3)):
        rows = batch.group == group
        a, b = read[rows], batch.slices.values[rows]
        overlap = (a.conj() * b).sum().real
        assert overlap / (a.norm() * b.norm()) > 0.999
        # Sums over voxels and pixels: the finer pixel has (3.0 / 2.4)³ times the voxels here.
        assert overlap / a.abs().square().sum() == pytest.approx(scale, rel=0.02)
    reach = batch.slices.points.norm(dim=1).max() * source.rotations[:, 0].norm(dim=1).max()
    assert reach <= source.radius + 1e-4


def test_groups_are_whitened_each_by_its_own_noise(phantom, simulate):
    truth = simulate([phantom], 40, pixels=(3.0, 2.4), noise=1.0)
    noise = np.stack([np.full(16, 4.0), np.full(16, 25.0)])
    source = ImageSource(truth.particles, 10)
    plain, whitened = gather(source)[0], gather(source.with_noise(NoiseModel(noise)))[0]
    np.testing.assert_allclose(whitened[::2] * 2, plain[::2], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(whitened[1::2] * 5, plain[1::2], rtol=1e-5, atol=1e-4)


def test_the_cache_changes_nothing(phantom, simulate, monkeypatch):
    truth = simulate([phantom], 50, noise=1.0, shift=5.0)
    kept, read = ImageSource(truth.particles, 15), ImageSource(truth.particles, 15, cache_bytes=0)
    first, again = gather(kept), gather(kept)
    kept.batch = read.batch = 16  # several blocks
    for a, b, c in zip(first, again, gather(read), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-4)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 29])
def test_chosen_rows_are_those_of_the_whole(phantom, simulate, cache_bytes):
    truth = simulate([phantom], 50, noise=1.0, pixels=(3.0, 2.4))
    source = ImageSource(
        truth.particles, 15, cache_bytes=cache_bytes, noise=NoiseModel(np.ones((2, 16)))
    )
    source.batch = 16
    values, filters = gather(source)
    rows = np.array([2, 3, 17, 33, 48, 49])
    (batch,) = source.batches(rows)
    np.testing.assert_array_equal(batch.index, rows)
    np.testing.assert_allclose(batch.slices.values, values[rows], atol=1e-4)
    np.testing.assert_allclose(batch.slices.filters, filters[rows], atol=1e-5)
    np.testing.assert_array_equal(batch.group, rows % 2)
    torch.testing.assert_close(batch.slices.rotations, source.rotations[torch.from_numpy(rows)])


def test_a_sample_has_images_of_every_group(phantom, simulate):
    truth = simulate([phantom], 400, noise=1.0, pixels=(3.0, 2.4))
    source = ImageSource(truth.particles, 8)
    sample = source.sample(150)
    assert 200 <= len(sample) <= 220  # at least 100 of each
    assert set(sample.group.tolist()) == {0, 1}
    assert sample.pixel_size == source.pixel_size
    assert source.sample(400) is source


def test_a_band_leaves_the_fine_shells_out_but_keeps_the_grid(phantom, simulate):
    truth = simulate([phantom], 5)
    source = ImageSource(truth.particles, 15, band=6)
    assert source.radius == 15
    assert source.disc.radius == 6


@pytest.mark.parametrize("cache_bytes", [0, 1 << 29])
@pytest.mark.parametrize("pixels", [(3.0,), (3.0, 2.4)])
def test_a_smaller_radius_has_the_coarse_points_of_the_larger(
    phantom, simulate, cache_bytes, pixels
):
    truth = simulate([phantom], 50, noise=1.0, shift=5.0, pixels=pixels)
    noise = NoiseModel(np.linspace(1, 2, 16) * np.ones((len(pixels), 1)))
    source = ImageSource(truth.particles, 15, noise=noise, cache_bytes=cache_bytes)
    source.batch = 16
    small, alone = source.within(9), ImageSource(truth.particles, 9, noise=noise)
    assert small.radius == 9
    torch.testing.assert_close(small.points, alone.points)
    for a, b in zip(gather(small), gather(alone), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    again = gather(small.with_noise(NoiseModel(4 * noise.power)))[0]
    np.testing.assert_allclose(again, gather(small)[0] / 2, atol=1e-5)
    (batch,) = small.batches(np.array([5, 40]))
    np.testing.assert_allclose(batch.slices.values, gather(alone)[0][[5, 40]], atol=1e-4)
    assert source.within(15) is source


def test_a_bad_pixel_is_named_by_its_image(phantom, simulate):
    def spoil(images):
        images[6, 3, 3] = np.nan

    truth = simulate([phantom], 10, edit=spoil)
    with pytest.raises(CryoswayError, match=r"image 000007@p\.mrcs holds NaN"):
        list(ImageSource(truth.particles[2:], 10))


def test_an_odd_box_is_refused_with_the_remedy(tmp_path):
    class Odd:
        box = 31

    with pytest.raises(CryoswayError, match=r"odd box of 31 px.*prepare"):
        ImageSource(Odd(), 10)


def test_shell_sums_are_means_per_group_and_shell():
    shell = torch.tensor([0, 1, 1, 2])
    sums = ShellSums(3, 3, shell)
    values = torch.tensor([[1.0, 2, 4, 8], [3, 2, 4, 0], [5, 5, 5, 5]])
    sums.add(values, torch.tensor([0, 0, 1]))
    mean = sums.mean()
    np.testing.assert_allclose(mean[0], [2, 3, 4])
    np.testing.assert_allclose(mean[1], 5)
    np.testing.assert_allclose(mean[2], [3, 11 / 3, 13 / 3])  # no images: all the others'


def test_a_shell_without_data_does_not_divide_by_zero():
    sums = ShellSums(1, 3, torch.tensor([0, 1, 1, 2]))
    sums.add(torch.tensor([[4.0, 2, 2, 0]]), torch.tensor([0]))
    noise = NoiseModel(sums.mean())
    assert noise.power[0, 2] == pytest.approx(noise.power[0, 1])  # that of its neighbour
    assert noise.amplitude(torch.tensor([0, 5])).isfinite().all()
