"""Encoders that cryoDRGN 4.3.1 trained give the latents that it gave."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.methods._cryodrgn.encoder import CryodrgnEncoder, CryodrgnView
from cryosway.optics import CtfParams
from cryosway.particles import load_array_series

DATA = Path(__file__).parents[1] / "data" / "cryodrgn"
VIEW = {"window": 0.85, "invert": True, "flip": True, "offset": 0.0, "scale": 1.0}


@pytest.fixture(scope="module")
def particles():
    return cs.read_particles(DATA / "particles.mrcs", poses=DATA / "pose.pkl", ctf=DATA / "ctf.pkl")


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    return cs.import_cryodrgn(DATA / "vae_fourier", tmp_path_factory.mktemp("jobs") / "job")


@pytest.mark.parametrize("name", ["vae_fourier", "vae_hartley", "vae_mlp"])
def test_latents_are_those_of_eval_images(name, particles, tmp_path):
    """Of some particles in another order, written as RELION would."""
    rows = np.array([5, 3, 20, 0, 11])
    particles[rows].write(tmp_path / "new.star", absolute_paths=True)
    trained = cs.import_cryodrgn(DATA / name, tmp_path / "trained")
    job = cs.encode(tmp_path / "new.star", tmp_path / "job", job=trained.path)
    mean, log_variance = load_array_series(DATA / name / "z.pkl")
    np.testing.assert_allclose(job.latents, mean[rows], atol=1e-4)
    np.testing.assert_allclose(2 * np.log(job.latent_sd), log_variance[rows], atol=1e-4)
    assert np.ptp(job.latents[:, 0]) > 1e-3  # which the tolerance can tell apart


def test_the_job_decodes_and_encodes_as_the_imported_one(imported, particles, tmp_path):
    command = ["encode", str(imported.path / "particles.star"), "--job", str(imported.path)]
    assert main([*command, "--out", str(tmp_path / "job")]) == 0
    job = cs.open_job(tmp_path / "job")
    np.testing.assert_allclose(job.latents, imported.latents, atol=1e-4)
    z = imported.latents[3]
    np.testing.assert_array_equal(job.volume(z), imported.volume(z))
    assert {entry["kind"] for entry in job.volumes} == {"mean"}
    back = cs.import_cryodrgn(cs.export(job, tmp_path / "back", to="cryodrgn"), tmp_path / "again")
    np.testing.assert_allclose(back.volume(z), imported.volume(z), rtol=1e-4, atol=1e-6)
    cs.landscape(job, clusters=2, directions=1, path_points=2, umap=False)
    shutil.copytree(job.path, tmp_path / "moved")
    again = cs.encode(particles[:4], tmp_path / "some", job=tmp_path / "moved")
    np.testing.assert_allclose(again.latents, imported.latents[:4], atol=1e-4)


def test_points_on_the_circle_are_those_of_single_precision():
    """cryoDRGN 4.3.1 has made first layers of these widths."""
    for box, radius, count in [(20, 10, 316), (26, 13, 528), (50, 17, 888), (26, -1, 729)]:
        encoder = CryodrgnEncoder(CryodrgnView(box=box, radius=radius, **VIEW), [])
        assert encoder._points.shape == (2, count)


def test_shifted_images_look_alike_once_centred(particles):
    """A shift by whole pixels is undone, but for cryoDRGN's lattice of one point more."""
    box = 32
    rng = np.random.default_rng(0)
    image = torch.zeros(1, box, box)
    image[:, 10:22, 10:22] = torch.from_numpy(rng.normal(size=(12, 12))).float()
    view = CryodrgnView(box=box, radius=8, **{**VIEW, "window": None, "flip": False})
    encoder = CryodrgnEncoder(view, [(torch.eye(196), torch.zeros(196))])
    ctf = CtfParams.from_table(particles[:1].ctf)
    still = encoder.encode(image, torch.zeros(1, 2), ctf)
    moved = torch.roll(image, (3, -2), dims=(1, 2))
    shifts = torch.tensor([[2.0, -3.0]]) / (box + 1)
    for seen, expected in zip(encoder.encode(moved, shifts, ctf), still, strict=True):
        torch.testing.assert_close(seen, expected, atol=1e-3, rtol=0)


def test_images_are_flipped_by_the_sign_of_the_ctf(particles):
    images = torch.from_numpy(particles.images())
    fine = CtfParams.from_table(particles.ctf.assign(pixel_size=2.0))  # so that it crosses zero
    encoder = CryodrgnEncoder(
        CryodrgnView(box=12, radius=6, **VIEW), [(torch.eye(112), torch.zeros(112))]
    )
    flipped, plain = (
        torch.cat(encoder.encode(images, torch.zeros(24, 2), ctf), 1) for ctf in (fine, None)
    )
    torch.testing.assert_close(flipped.abs(), plain.abs())
    assert 0.05 < (flipped != plain).float().mean() < 0.95


class TestRefusals:
    @pytest.mark.parametrize("name", ["dec_hartley", "nn_fourier"])
    def test_trainings_without_encoder(self, name, particles, tmp_path):
        job = cs.import_cryodrgn(DATA / name, tmp_path / "job")
        with pytest.raises(CryoswayError, match="has no encoder: cryoDRGN kept a table"):
            cs.encode(particles, tmp_path / "out", job=job.path)

    def test_encoders_of_another_kind(self, particles, tmp_path):
        folder = Path(shutil.copytree(DATA, tmp_path / "work")) / "vae_fourier"
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        for change, sentence in [
            ({"enc_mask": 4}, "sees 112 points, but the settings say 44"),
            ({"encode_mode": "conv"}, "does not know cryoDRGN's encoders of the kind 'conv'"),
        ]:
            settings["model_args"] |= change
            (folder / "config.yaml").write_text(yaml.safe_dump(settings))
            job = cs.import_cryodrgn(folder, tmp_path / str(change))
            assert job.latents.shape == (24, 2)  # the rest works
            with pytest.raises(CryoswayError, match=sentence):
                cs.encode(particles, tmp_path / "out", job=job.path)

    def test_particles_that_do_not_fit(self, imported, particles, make_set, tmp_path):
        other = make_set(n=20, box=24, pixel_size=6.0)
        without_poses = cs.read_particles(DATA / "particles.mrcs", ctf=DATA / "ctf.pkl")
        for given, sentence in [
            (other.particles, "trained on 12 px of 12 Å: run cryosway prepare"),
            (without_poses, "have no poses"),
        ]:
            with pytest.raises(CryoswayError, match=sentence):
                cs.encode(given, tmp_path / "out", job=imported.path)
