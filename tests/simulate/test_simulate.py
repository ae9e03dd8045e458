import json
import sys

import numpy as np
import pandas as pd
import pytest
import starfile
import torch

from cryosway import CryoswayError
from cryosway.optics import (
    CtfParams,
    compute_ctf,
    fft2_half,
    half_plane_frequencies,
    ifft2_half,
    relion_euler_to_matrix,
    shift_images,
)
from cryosway.particles import read_map, read_particles, write_map
from cryosway.simulate import simulate, truth_volume
from cryosway.simulate._form_images import ImageFormer
from cryosway.simulate._metadata import draw_particles
from cryosway.simulate._states import load_states

QUICK = {"box": 32, "pixel_size": 3.0, "superpose": False, "threads": 1}


def read_images(result):
    return read_particles(result.particles).images(slice(None))


@pytest.fixture
def former(two_blobs, options):
    def make(**changes):
        chosen = options(**changes)
        states = load_states(two_blobs, chosen)
        tables = draw_particles(chosen, len(states))
        return ImageFormer(states, tables.truth, chosen), tables.truth

    return make


def test_files_are_consistent(two_blobs, tmp_path):
    result = simulate(two_blobs, tmp_path / "set", n=30, populations=[1, 3], shift=9.0, **QUICK)
    star = starfile.read(result.particles)
    truth = result.truth()
    assert len(star["particles"]) == len(truth) == 30
    assert star["optics"]["rlnImagePixelSize"][0] == 3.0
    np.testing.assert_allclose(star["particles"]["rlnAngleRot"], truth["rot"], atol=1e-5)
    np.testing.assert_allclose(star["particles"]["rlnOriginXAngst"], truth["shift_x"], atol=1e-5)
    np.testing.assert_allclose(star["particles"]["rlnDefocusV"], truth["defocus_v"], atol=1e-3)
    particles = read_particles(result.particles)
    assert (len(particles), particles.box, particles.pixel_size) == (30, 32, 3.0)
    np.testing.assert_allclose(
        particles.rotations,
        relion_euler_to_matrix(truth["rot"], truth["tilt"], truth["psi"]),
        atol=1e-6,
    )
    np.testing.assert_allclose(particles.shifts, truth[["shift_x", "shift_y"]], atol=1e-5)
    assert [path.name for path in result.volumes] == ["state_000.mrc", "state_001.mrc"]
    entries = json.loads((result.path / "volumes" / "volumes.json").read_text())["volumes"]
    assert [entry["z"] for entry in entries] == [[0.0], [1.0]]
    assert sum(entry["n_effective"] for entry in entries) == 30


@pytest.mark.parametrize("projector", ["direct", "nufft"])
def test_noiseless_images_follow_the_equation_from_the_written_files(blob, tmp_path, projector):
    """X(k) = CTF(k) exp(−B s²/4) exp(−2πi k·t) V̂(Rᵀ k), t = minus the written shift."""
    if projector == "nufft":
        pytest.importorskip("finufft")
    result = simulate(
        blob,
        tmp_path / "set",
        n=6,
        snr=None,
        shift=9.0,
        dtype="float32",
        projector=projector,
        **QUICK,
    )
    particles = read_particles(result.particles)
    k = half_plane_frequencies(32, dtype=torch.float64)
    volume, _ = read_map(result.volumes[0])
    centred = blob.coordinates - np.average(blob.coordinates, axis=0, weights=blob.atomic_numbers)
    gain = volume.sum() / blob.atomic_numbers.sum()
    for row in range(6):
        seen = centred @ particles.rotations[row].T / 3.0
        content = seen[:, :2] - particles.shifts[row] / 3.0
        phases = np.exp(-2j * np.pi * (k.numpy() @ content.T)) @ blob.atomic_numbers
        s2 = (k**2).sum(-1).numpy() / 9.0
        ctf = compute_ctf(
            k, CtfParams.from_table(particles.ctf[row : row + 1], dtype=torch.float64)
        )
        expected = gain * ctf[0].numpy() * np.exp(-(25.0 + 2 * np.pi**2 * 0.675**2) * s2) * phases
        expected[16] = expected[:, 16] = 0
        found = fft2_half(torch.from_numpy(particles.images(np.array([row]))).double())[0].numpy()
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_written_shift_centres_the_content(blob, tmp_path):
    result = simulate(blob, tmp_path / "set", n=5, snr=None, shift=12.0, ctf=False, **QUICK)
    particles = read_particles(result.particles)
    planes = fft2_half(torch.from_numpy(particles.images(slice(None))))
    axis = torch.arange(32.0) - 16
    for shift_by, largest in ((particles.shifts / 3.0, 0.1), (-particles.shifts / 3.0, 20.0)):
        images = ifft2_half(shift_images(planes, torch.from_numpy(shift_by)))
        x = (images * axis).sum((1, 2)) / images.sum((1, 2))
        y = (images * axis[:, None]).sum((1, 2)) / images.sum((1, 2))
        offset = torch.hypot(x, y).max()
        assert offset < largest
    assert offset > 2.0


def test_truth_volumes_are_the_density_on_the_scale_of_the_images(blob, tmp_path):
    result = simulate(blob, tmp_path / "set", n=50, snr=0.5, dtype="float32", **QUICK)
    clean = simulate(blob, tmp_path / "clean", n=50, snr=None, dtype="float32", **QUICK)
    volume, info = read_map(result.volumes[0])
    expected = truth_volume(blob, 32, 3.0)
    gain = volume.sum() / expected.sum()
    np.testing.assert_allclose(volume, gain * expected, atol=1e-4 * volume.max())
    assert info.pixel_size == pytest.approx(3.0)
    # Noise has variance 1 and the images hold the signal at the gain of the volumes.
    unscaled, _ = read_map(clean.volumes[0])
    signal = read_images(clean) * (volume.sum() / unscaled.sum())
    assert (read_images(result) - signal).std() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("noise", ["white", "coloured"])
def test_snr_is_that_of_cryobench(former, noise):
    snr = 0.2
    maker, _ = former(n=600, snr=snr, noise=noise, shift=6.0, scale_sd=0.1)
    gain = maker.find_gain()
    rows = np.arange(600)
    with_noise = maker.form_images(rows, gain)
    clean = with_noise - maker.form_images(rows, 0.0)
    assert clean.var() / (with_noise - clean).var() == pytest.approx(snr, rel=0.02)
    assert (with_noise - clean).var() == pytest.approx(1.0, rel=0.02)


def test_snr_counts_good_particles_only(former):
    clean, _ = former(n=300, snr=0.1)
    junky, truth = former(n=300, snr=0.1, junk_fraction=0.3, junk_kinds=("ice",))
    assert (truth["label"] == "ice").any()
    assert junky.find_gain() == pytest.approx(clean.find_gain(), rel=0.05)


def test_scale_multiplies_the_signal(former):
    maker, truth = former(n=20, snr=None, scale_sd=0.3)
    plain, _ = former(n=20, snr=None)
    rows = np.arange(20)
    ratio = maker.form_images(rows, 1.0).std((1, 2)) / plain.form_images(rows, 1.0).std((1, 2))
    np.testing.assert_allclose(ratio, truth["scale"], rtol=1e-4)


@pytest.mark.parametrize("noise", ["white", "coloured"])
def test_an_image_does_not_depend_on_its_batch_or_on_threads(former, noise):
    settings = {"noise": noise, "junk_fraction": 0.4, "shift": 5.0}
    maker, _ = former(**settings)
    rows = np.arange(40)
    whole = maker.form_images(rows, 1.0)
    pieces = [maker.form_images(rows[i : i + 7], 1.0) for i in range(0, 40, 7)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)
    threaded, _ = former(**settings, threads=3)
    np.testing.assert_allclose(threaded.form_images(rows, 1.0), whole, atol=1e-5)


def test_seed_decides_everything(two_blobs, tmp_path):
    settings = {"n": 20, "junk_fraction": 0.2, "angle_error": 1.0, **QUICK}
    a, b, c = (
        simulate(two_blobs, tmp_path / name, seed=seed, **settings)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert a.stack.read_bytes() == b.stack.read_bytes()
    assert a.particles.read_bytes() == b.particles.read_bytes()
    pd.testing.assert_frame_equal(a.truth(), b.truth())
    assert not np.array_equal(read_images(a), read_images(c))


def test_finished_set_is_kept_and_another_one_is_not_overwritten(blob, tmp_path):
    first = simulate(blob, tmp_path / "set", n=10, **QUICK)
    stamp = first.stack.stat().st_mtime_ns
    again = simulate(blob, tmp_path / "set", n=10, **QUICK)
    assert again.stack.stat().st_mtime_ns == stamp
    with pytest.raises(CryoswayError, match="another job"):
        simulate(blob, tmp_path / "set", n=11, **QUICK)
    simulate(blob, tmp_path / "set", n=11, overwrite=True, **QUICK)
    assert len(first.truth()) == 11


def test_interrupted_set_is_finished_with_the_same_images(blob, tmp_path, monkeypatch):
    settings = {"n": 60, **QUICK}
    whole = simulate(blob, tmp_path / "whole", **settings)
    monkeypatch.setattr(sys.modules[ImageFormer.__module__], "_BLOCK_PIXELS", 16 * 32**2)
    monkeypatch.setattr(sys.modules[simulate.__module__], "_BLOCKS_PER_CHECKPOINT", 1)
    form, calls = ImageFormer.form_images, []

    def stop_in_the_third_block(self, rows, gain):
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return form(self, rows, gain)

    monkeypatch.setattr(ImageFormer, "form_images", stop_in_the_third_block)
    with pytest.raises(KeyboardInterrupt):
        simulate(blob, tmp_path / "part", **settings)
    assert not (tmp_path / "part" / "particles.star").exists()
    resumed = simulate(blob, tmp_path / "part", **settings)
    assert calls[3][0] == 32
    np.testing.assert_allclose(read_images(resumed), read_images(whole), atol=2e-3)


def test_maps_are_projected_too(blob, tmp_path):
    pytest.importorskip("finufft")
    write_map(tmp_path / "map.mrc", truth_volume(blob, 32, 3.0, resolution=12.0), 3.0)
    result = simulate(tmp_path / "map.mrc", tmp_path / "set", n=4, snr=None, **QUICK)
    same = simulate(blob, tmp_path / "atoms", n=4, snr=None, resolution=12.0, **QUICK)
    for a, b in zip(read_images(result), read_images(same), strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999
    with pytest.raises(CryoswayError, match="maps are given; use 'nufft' or 'voxel'"):
        simulate(tmp_path / "map.mrc", tmp_path / "other", n=4, projector="direct", **QUICK)


def test_stack_type_is_chosen(blob, tmp_path):
    for dtype, size in (("float16", 2), ("float32", 4)):
        result = simulate(blob, tmp_path / dtype, n=3, dtype=dtype, **QUICK)
        assert result.stack.stat().st_size == 1024 + 3 * 32 * 32 * size
