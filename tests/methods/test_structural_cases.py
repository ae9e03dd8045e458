"""`structural` with other latents, poses, optics, starts and molecules, each with its answer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway._errors import CryoswayError
from cryosway.inference import rotate_by
from cryosway.methods._structural.model import StructuralDecoder
from cryosway.methods._structural.structural import structural
from cryosway.optics import rotation_angle
from cryosway.particles import Particles, StackWriter, read_particles
from cryosway.protein import coarse_grain, read_structure, write_structure
from cryosway.simulate import adenylate_kinase_states, simulate
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._states import load_states

pytestmark = pytest.mark.slow

BOX, PIXEL_SIZE, COUNT = 32, 3.5, 240
QUICK = {
    "epochs": 6,
    "halves": False,
    "modes": 6,
    "rounds": 1,
    "latent_dim": 1,
    "threads": 1,
    "device": "cpu",
}
LENIENT = {**QUICK, "check_docking": False}


def make_images(atoms, folder, **settings):
    defaults = {"n": COUNT, "box": BOX, "pixel_size": PIXEL_SIZE, "snr": 1.0, "seed": 1}
    given = {**defaults, "superpose": False, "shift": 3.0, "threads": 1, **settings}
    return simulate(list(atoms), folder / "set", **given)


@pytest.fixture(scope="module")
def states():
    """Closed and open kinase, in the frame of the images."""
    options = SimulateOptions(box=BOX, pixel_size=PIXEL_SIZE, superpose=False)
    return load_states(adenylate_kinase_states(2), options).atoms


@pytest.fixture(scope="module")
def images(states, tmp_path_factory):
    return make_images(states, tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def reference(states, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.cif"
    write_structure(path, states[0])
    return path


def beads_of(atoms, nucleotide_beads=1):
    return coarse_grain(atoms, nucleotide_beads=nucleotide_beads).coordinates


def errors(job, states, truth, nucleotide_beads=1):
    """Mean RMSD of the job's models, and of the first state, from each particle's own state."""
    models = np.stack([beads_of(atoms, nucleotide_beads) for atoms in states])
    true = models[truth]
    found = StructuralDecoder(job).beads(job.latents)
    return (np.sqrt(((x - true) ** 2).sum(-1).mean(-1)).mean() for x in (found, models[0]))


@pytest.mark.parametrize("decoder", ["both", "segments", "field", "mlp", "modes"])
def test_every_decoder_finds_the_two_states(decoder, images, states, reference, tmp_path):
    rounds = 3 if decoder == "modes" else 1  # modes alone learn nothing more in training
    chosen = {**QUICK, "decoder": decoder, "rounds": rounds}
    job = structural(images.particles, tmp_path / "job", model=reference, **chosen)
    found, still = errors(job, states, images.truth()["state"].to_numpy())
    assert found < 0.95 * still  # after a few epochs


def test_more_modes_do_not_lead_astray(images, states, reference, tmp_path):
    """Few images leave many modes undetermined: these must not take up what is left over."""
    chosen = {**QUICK, "decoder": "modes", "modes": 60, "epochs": 1}
    job = structural(images.particles, tmp_path / "job", model=reference, **chosen)
    found, still = errors(job, states, images.truth()["state"].to_numpy())
    assert found < still


def test_nothing_moves_on_noise_and_training_stops(images, reference, tmp_path):
    particles = read_particles(images.particles)[np.arange(COUNT // 2)]
    path = tmp_path / "noise.mrcs"
    pixels = np.random.default_rng(4).standard_normal((COUNT // 2, BOX, BOX), np.float32)
    with StackWriter(path, BOX, PIXEL_SIZE, "float32", COUNT // 2) as writer:
        writer.write(pixels)
    noise = particles.with_images(path).with_contrast(np.ones(COUNT // 2, np.int8))
    chosen = {**LENIENT, "epochs": 40, "batch_size": 30, "latent_dim": 2, "modes": 12}
    job = structural(noise, tmp_path / "job", model=reference, **chosen)
    assert job.particles["displacement"].mean() < 0.2
    assert job.info["training"]["steps"] == 4
    assert "it stays in place" in (job.path / "log.txt").read_text()


def test_encoder_finds_the_two_states(images, states, reference, tmp_path):
    job = structural(images.particles, tmp_path / "job", model=reference, latent="encoder", **QUICK)
    found, still = errors(job, states, images.truth()["state"].to_numpy())
    assert found < 0.9 * still


@pytest.mark.parametrize(("decoder", "most"), [("both", 0.7), ("modes", 0.9)])
def test_starts_from_linear(decoder, most, images, states, reference, tmp_path):
    linear = cs.linear(
        images.particles, tmp_path / "linear", components=1, iterations=4, null_tests=0, threads=1
    )
    chosen = {**QUICK, "decoder": decoder, "rounds": 3}
    job = structural(
        images.particles, tmp_path / "job", model=reference, linear=linear.path, **chosen
    )
    truth = images.truth()["state"].to_numpy()
    found, still = errors(job, states, truth)
    assert found < most * still
    # The latents keep what linear knew.
    assert abs(np.corrcoef(job.latents[:, 0], truth)[0, 1]) > 0.85


def test_corrects_poses(images, states, reference, tmp_path):
    """Poses that are off come nearer to the true ones, and are those that are written."""
    true = read_particles(images.particles)
    rng = np.random.default_rng(3)
    turns = _small_rotations(rng, COUNT, degrees=4.0)
    moved = true.shifts + rng.normal(0, 2.0, (COUNT, 2))
    off = true.with_poses(turns @ true.rotations, moved)
    job = structural(
        off, tmp_path / "job", model=reference, refine_poses=True, pose_sd=0.7, **QUICK
    )
    found = read_particles(job.path / "particles.star", accept_defaults=True)
    before, after = (_pose_errors(p, true) for p in (off, found))
    assert after[0] < 0.9 * before[0]
    assert after[1] < 0.9 * before[1]


def _small_rotations(rng, count, degrees):
    return rotate_by(torch.from_numpy(rng.normal(0, np.deg2rad(degrees), (count, 3)))).numpy()


def _pose_errors(one, other):
    """Rms angle, °, and rms shift, Å, between the poses of two sets."""
    angle = rotation_angle(one.rotations, other.rotations)
    return np.sqrt((angle**2).mean()), np.sqrt(((one.shifts - other.shifts) ** 2).sum(1).mean())


def test_several_optics_groups(images, states, reference, tmp_path):
    """Particles of another voltage and a finer pixel agree with those of the first group."""
    other = make_images(states, tmp_path, n=COUNT // 2, pixel_size=3.2, voltage=200.0, seed=2)
    both = Particles.concatenate(
        [read_particles(images.particles)[np.arange(COUNT // 2)], read_particles(other.particles)]
    )
    assert both.ctf["optics_group"].nunique() == 2
    truth = np.concatenate(
        [made.truth()["state"].to_numpy()[: COUNT // 2] for made in (images, other)]
    )
    job = structural(both, tmp_path / "job", model=reference, **QUICK)
    found, still = errors(job, states, truth)
    assert found < 0.7 * still
    # Latents of a state are the same in both groups: no group is off in scale or size.
    z, group = job.latents[:, 0], np.arange(COUNT) >= COUNT // 2
    apart = abs(np.subtract(*(z[truth == state].mean() for state in (0, 1))))
    for state in (0, 1):
        means = [z[(truth == state) & (group == g)].mean() for g in (False, True)]
        assert abs(np.subtract(*means)) < 0.25 * apart


def test_odd_boxes_are_refused(states, reference, tmp_path):
    true = make_images(states, tmp_path, n=8)
    text = true.particles.read_text().replace(f" {BOX} 2\n", f" {BOX - 1} 2\n")
    pixels = read_particles(true.particles).images(slice(None))[:, 1:, 1:]
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "particles.star").write_text(text)
    with StackWriter(folder / "particles.mrcs", BOX - 1, PIXEL_SIZE, "float32", 8) as writer:
        writer.write(pixels)
    with pytest.raises(CryoswayError, match="odd box"):
        structural(folder / "particles.star", tmp_path / "job", model=reference, **LENIENT)


# -- nucleic acids -----------------------------------------------------------------------------


def bend(atoms, degrees):
    """Turn the residues of one end of the longest axis about the middle."""
    model = coarse_grain(atoms)
    centre = model.coordinates.mean(0)
    axes = np.linalg.svd(model.coordinates - centre, full_matrices=False)[2]
    residue = np.unique(atoms.residue_numbers, return_inverse=True)[1]
    sums = np.bincount(residue, (atoms.coordinates - centre) @ axes[0])
    moving = (sums > 0)[residue]
    turn = rotate_by(torch.from_numpy(np.deg2rad(degrees) * axes[1:2]))[0].numpy()
    x = atoms.coordinates.copy()
    x[moving] = (x[moving] - centre) @ turn.T + centre
    return atoms.with_coordinates(x)


@pytest.mark.parametrize("beads", [1, 3])
def test_bends_a_nucleic_acid(beads, tmp_path):
    """Two strands of 16S RNA, paired, of which one end is turned by 35°."""
    path = Path(__file__).parents[1] / "data" / "structures" / "4v5d_excerpt.cif.gz"
    atoms = read_structure(path).select_chains(["AA"])
    atoms = atoms.with_coordinates(atoms.coordinates - atoms.coordinates.mean(0))
    assert (coarse_grain(atoms).kinds == "nucleic").all()
    options = SimulateOptions(box=BOX, pixel_size=2.5, superpose=False)
    states = load_states([atoms, bend(atoms, 35.0)], options).atoms
    made = make_images(states, tmp_path, pixel_size=2.5)
    reference = tmp_path / "rna.cif"
    write_structure(reference, states[0])
    chosen = {**LENIENT, "nucleotide_beads": beads}
    job = structural(made.particles, tmp_path / "job", model=reference, **chosen)
    found, still = errors(job, states, made.truth()["state"].to_numpy(), beads)
    assert still > 1.0
    assert found < 0.7 * still


# -- resumption --------------------------------------------------------------------------------

_RUN = """
import sys
import cryosway as cs
options = eval(sys.argv[4])
cs.structural(sys.argv[1], sys.argv[2], model=sys.argv[3], **options)
"""


def test_killed_fit_resumes_to_the_same_answer(images, reference, tmp_path):
    out, options = tmp_path / "killed", {**QUICK, "epochs": 8, "decoder": "segments"}
    command = [sys.executable, "-c", _RUN, str(images.particles), str(out), str(reference)]
    process = subprocess.Popen([*command, repr(options)])
    metrics = out / "metrics.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and metrics.read_text().count("\n") >= 3:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert cs.open_job(out).status == "interrupted"
    resumed = structural(images.particles, out, model=reference, **options)
    whole = structural(images.particles, tmp_path / "whole", model=reference, **options)
    assert "resumes" in (out / "log.txt").read_text()
    scale = whole.latents.std()
    np.testing.assert_allclose(resumed.latents, whole.latents, rtol=1e-3, atol=2e-3 * scale)
