"""What a network starts from, and how much of what it adds is kept."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway.engine import JobFolder, read_json
from cryosway.inference import ImageSource, total_power
from cryosway.methods._neural.balance import balance_base
from cryosway.methods._neural.gains import calibrate_gains
from cryosway.methods._neural.maps import add_maps
from cryosway.methods._neural.start import NeuralStart, start_from_linear
from cryosway.methods._neural.step import NeuralSettings, NeuralStep
from cryosway.optics import fft3_half, frequency_radius, ifft3_half, shell_power
from cryosway.validate import fsc
from cryosway.volumes import FieldSpec, LatentCurves, NeuralField, NeuralVolume, SliceReader

BOX = 32
NONE = np.zeros(0, np.int64)


@pytest.fixture
def job(tmp_path):
    with JobFolder.start(tmp_path / "job", "autodecoder", {}, {}) as folder:
        yield folder


@pytest.fixture(scope="module")
def source(one_state):
    particles = cs.read_particles(one_state.particles)
    plain = ImageSource(particles, BOX // 2 - 1)
    return plain.with_noise(total_power(plain))


@pytest.fixture(scope="module")
def linear_job(two_states, tmp_path_factory):
    out = tmp_path_factory.mktemp("linear") / "job"
    return cs.linear(two_states.particles, out, null_tests=0, components=2)


def damp(volume, gains):
    """Scale the shells of a map (D, D, D)."""
    at = torch.tensor(gains)[
        frequency_radius(BOX, torch.device("cpu")).round().long().clamp(max=16)
    ]
    return ifft3_half(fft3_half(torch.tensor(np.asarray(volume))) * at)


def start_from_map(volume, count):
    base = torch.tensor(np.asarray(volume))[None].float()
    return NeuralStart(
        base=base,
        curves=LatentCurves.none(),
        gains=torch.ones(BOX // 2, 2),
        latents=torch.zeros(count, 2, 1),
        amplitude=shell_power(base, BOX // 2)[0].sqrt(),
        signal=shell_power(base, BOX // 2)[0],
        mask=torch.ones(BOX, BOX, BOX),
        noise=np.ones((1, BOX // 2)),
        contrast_sd=0.0,
    )


def test_a_damped_base_comes_back_to_the_scale_of_the_images(source, true_map, job):
    gains = np.r_[np.full(6, 1.25), np.full(11, 0.7)].astype(np.float32)
    start = start_from_map(damp(true_map, gains), len(source))
    found = balance_base(job, source, make_silent(start), start, np.arange(len(source)))
    ratio = shell_power(found.base, 12)[0] / shell_power(torch.tensor(true_map)[None], 12)[0]
    np.testing.assert_allclose(ratio[1:4].sqrt(), 1, atol=0.1)  # five shells share gains
    np.testing.assert_allclose(ratio[9:12].sqrt(), 0.9, atol=0.1)  # images are interpolated


@pytest.mark.parametrize("true", [False, True])
def test_noise_that_a_network_adds_is_taken_out_and_signal_stays(source, true_map, job, true):
    """In the network's place stands a map: noise, or what is missing of the true one."""
    noise = np.random.default_rng(0).normal(size=true_map.shape) * 0.2 * true_map.std()
    base, added = (0.6 * true_map, 0.4 * true_map) if true else (true_map, noise)
    stub = TwoMaps(torch.as_tensor(np.stack([base, added])).float())
    latents = torch.zeros(len(source), 2, 1)
    step = NeuralStep(stub, source, None, latents, NeuralSettings(0.0))
    calibrate_gains(step, np.arange(0, 600, 2), "float32", job)
    gains = stub.volume.amplitude.numpy()
    # The coarsest shells have a handful of points; images are a little weaker than the map.
    assert (gains[2:10].min() > 0.6) if true else (gains[2:].max() < 0.1)
    assert read_json(job.path / "job.json")["network_gains"] == pytest.approx(gains, abs=1e-4)


class TwoMaps:
    """Shows one map, and another one as far as the amplitude of each shell says."""

    def __init__(self, maps):
        self.volume = SimpleNamespace(
            band=BOX // 2 - 1, amplitude=torch.ones(BOX // 2), base=maps[:1],
            scale=lambda gains: None,
        )  # fmt: skip
        self.reader = SliceReader(maps)

    def infer(self, batch):
        return torch.zeros(len(batch.rows), 1), torch.zeros(len(batch.rows), 1)

    def views(self, batch, z):
        base, added = self.reader.read(batch.slices, None).unbind(2)
        shell = batch.slices.points.norm(dim=-1).round().long().clamp(max=self.volume.band)
        return base + self.volume.amplitude[shell][:, None] * added

    def base_views(self, batch, z):
        base, _ = self.reader.read(batch.slices, None).unbind(2)
        return base, torch.zeros_like(base)


class TestMaps:
    def test_the_base_is_what_linear_shows(self, linear_job, job):
        """At latents that are no anchors, too; components alone are not that."""
        start = start_from_linear(linear_job, 2, contrast=False)
        found = add_maps(job, linear_job, start, 24, NONE, 0)
        assert len(found.linear) == 3 < len(found.base)
        for row in (3, 77, 301):
            shown = linear_job.volume(linear_job.latents[row])
            z = start.latents[row : row + 1, 0]
            plain, better = (make_silent(each).density(z)[0].numpy() for each in (start, found))
            before, after = (
                np.corrcoef(each.ravel(), shown.ravel())[0, 1] for each in (plain, better)
            )
            assert after > max(before, 0.98)

    def test_held_out_particles_are_not_in_the_maps(self, linear_job, job, tmp_path):
        start = start_from_linear(linear_job, 2, contrast=False)
        half = np.arange(0, 600, 2)
        found = add_maps(job, linear_job, start, 8, half, 0)
        job.delete_checkpoint("maps")
        whole = add_maps(job, linear_job, start, 8, NONE, 0)
        z = start.latents[:1, 0]
        maps = [make_silent(each).density(z)[0].numpy() for each in (found, whole)]
        assert 0.3 < fsc(*maps)[8] < 0.999

    def test_none_leave_the_start_as_it_is(self, linear_job, job):
        start = start_from_linear(linear_job, 2, contrast=False)
        assert add_maps(job, linear_job, start, 0, NONE, 0) is start


def make_silent(start):
    field = NeuralField(FieldSpec(box=BOX, latent_dim=start.latents.shape[2], width=16, layers=1))
    field.damp_output(0.0)
    return NeuralVolume(field, start.amplitude, start.base, start.curves, start.gains)
