"""Small simulated sets of adenylate kinase, with their truth."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
import torch

from cryosway.engine import JobFolder, write_table
from cryosway.jobs import Job, open_job
from cryosway.methods._job_files import VolumeIndex, particles_table
from cryosway.methods._structural.model import StructuralModel, make_deformation
from cryosway.methods._structural.structural import structural
from cryosway.methods._structural.views import BeadViews
from cryosway.methods._validate.null_images import NullImages
from cryosway.particles import StackWriter, read_map, read_particles
from cryosway.protein import AtomTable, coarse_grain, write_structure
from cryosway.simulate import adenylate_kinase_states
from cryosway.simulate import simulate as simulate_images
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._states import load_states
from cryosway.volumes import DeformationSpec

BOX, LENGTH = 32, 144.0  # pixels, Å


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Methods take all CPUs by default; tests run side by side and must not fight for cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cryosway.engine._hardware.count_cpus", lambda: 1)
        yield


@pytest.fixture(scope="session")
def make_set(tmp_path_factory):
    def make(states=1, n=600, **settings):
        chosen = adenylate_kinase_states(2)[:states] if isinstance(states, int) else states
        defaults = {"box": BOX, "pixel_size": LENGTH / BOX, "dtype": "float32"}
        settings = {**defaults, "snr": 0.2, "shift": 10.0, "seed": 1, **settings}
        folder = tmp_path_factory.mktemp("set")
        return simulate_images(chosen, folder / "set", n=n, threads=1, **settings)

    return make


@pytest.fixture
def make_noise(tmp_path):
    """Replace the images of particles by noise of a spectrum."""

    def make(particles, noise, seed):
        nothing = torch.zeros(particles.box, particles.box, particles.box)
        images = NullImages(particles, nothing, noise, np.ones(len(particles)), 0.0, 0.0)
        return images.write(tmp_path / "noise.mrcs", seed, lambda _: None)

    return make


@pytest.fixture(scope="session")
def one_state(make_set):
    """600 images of closed adenylate kinase, noise of variance 1."""
    return make_set()


@pytest.fixture(scope="session")
def two_states(make_set):
    """600 images of closed and open adenylate kinase in equal numbers."""
    return make_set(2)


@pytest.fixture(scope="session")
def true_map(one_state):
    return read_map(one_state.volumes[0])[0]


@pytest.fixture(scope="session")
def rewrite(tmp_path_factory):
    """Write a set's images anew, changed, with the same metadata."""

    def write(simulated, change):
        particles = read_particles(simulated.particles)
        folder = tmp_path_factory.mktemp("changed")
        images = change(particles.images(), particles)
        with StackWriter(
            folder / "particles.mrcs", BOX, LENGTH / BOX, "float32", len(images)
        ) as stack:
            stack.write(images.astype(np.float32))
        (folder / "particles.star").write_text(simulated.particles.read_text())
        return read_particles(folder / "particles.star")

    return write


@dataclass(frozen=True)
class Hinged:
    """A structural job whose motions are known, in the job's own frame (the box's centre at 0).

    Two rigid lids of adenylate kinase, one with a ligand, by name: which residues (N,), a point
    and the direction of the hinge's axis, and the angle of every particle, degrees.
    """

    job: Job
    lids: dict[str, np.ndarray]
    points: dict[str, np.ndarray]
    axes: dict[str, np.ndarray]
    angles: dict[str, np.ndarray]


def with_ligand(atoms):
    """Add three atoms, 8 Å outside the tip of the LID."""
    lid = (atoms.residue_numbers >= 118) & (atoms.residue_numbers <= 160)
    centre = atoms.coordinates[~lid].mean(0)
    away = np.where(lid, np.linalg.norm(atoms.coordinates - centre, axis=1), 0)
    tip = int(away.argmax())
    out = (atoms.coordinates[tip] - centre) / away[tip]
    added = atoms[np.array([tip] * 3)]
    places = atoms.coordinates[tip] + 8 * out + 1.5 * np.eye(3)
    names = {"residue_names": ["LIG"] * 3, "residue_numbers": [301] * 3,
             "atom_names": ["C1", "C2", "C3"], "elements": ["C"] * 3,
             "atomic_numbers": [6] * 3, "coordinates": places}  # fmt: skip
    columns = {}
    for field in fields(AtomTable):
        mine = np.asarray(names.get(field.name, getattr(added, field.name)))
        columns[field.name] = np.concatenate([getattr(atoms, field.name), mine])
    return AtomTable(**columns)


@pytest.fixture(scope="session")
def hinged(one_state, tmp_path_factory):
    """Forty particles, each with its own angle of the LID (z1) and of the NMP domain (z2)."""
    rng = np.random.default_rng(3)
    model = coarse_grain(with_ligand(adenylate_kinase_states(2)[1].without_hydrogens()))
    number, x = model.residue_numbers, model.coordinates
    lids = {"LID": (number >= 118) & (number <= 160), "NMP": (number >= 30) & (number <= 67)}
    ends = {name: np.flatnonzero(rows)[[0, -1]] for name, rows in lids.items()}
    points = {name: x[end].mean(0) for name, end in ends.items()}
    axes = {name: np.cross(x[end[1]] - x[end[0]], x[lids[name]].mean(0) - points[name])
            for name, end in ends.items()}  # fmt: skip
    axes = {name: axis / np.linalg.norm(axis) for name, axis in axes.items()}
    latents = rng.uniform(-1, 1, (40, 2))
    # The turn of a segment is the rotation vector 2 tan(θ/2) n.
    most = {"LID": 0.30, "NMP": 0.25}
    angles = {name: np.rad2deg(2 * np.arctan(latents[:, k] * most[name] / 2))
              for k, name in enumerate(most)}  # fmt: skip
    parting = lids["LID"] * 1 + lids["NMP"] * 2
    spec = DeformationSpec(kind="segments", latent_dim=2, segments=3, width=8)
    decoder = make_deformation(spec, model, parting=torch.from_numpy(parting))
    turning = decoder.parts[0]
    with torch.no_grad():
        turning.first.mul_(20)  # hard segments
        turning.motion.last.weight.zero_()
        for k, name in enumerate(most):
            turning.centres[k + 1] = torch.from_numpy(points[name])
            rows = slice(6 * (k + 1), 6 * (k + 1) + 3)
            turning.motion.last.weight[rows, 8 + k] = torch.from_numpy(most[name] * axes[name])
    particles = read_particles(one_state.particles)[:40]
    views = BeadViews(model, BOX, LENGTH / BOX, BOX // 2 + 1)
    fitted = StructuralModel(model, decoder.eval(), views)
    with JobFolder.start(tmp_path_factory.mktemp("hinged") / "job", "structural", {}) as job:
        fitted.save(job.path)
        particles.write(job.path / "particles.star", absolute_paths=True)
        table = particles_table(particles, latents=latents, latent_sd=np.full((40, 2), 0.1))
        write_table(job.path / "particles.parquet", table)
        density = fitted.densities(np.zeros((1, 2)))[0]
        VolumeIndex(job.path, LENGTH / BOX).write("mean", density, "mean", "consensus")
        job.update(box=BOX, pixel_size=LENGTH / BOX)
    return Hinged(open_job(job.path), lids, points, axes, angles)


@dataclass(frozen=True, eq=False)
class TwoDomains:
    """A structural job on a made molecule, whose second domain turns about the joint by ±24°.

    Its particles and options; true beads of every particle (N, beads, 3) and those of the reference
    (the middle of the motion); residues of each domain.
    """

    job: Job
    particles: Path
    options: dict[str, object]
    truth: np.ndarray
    reference: np.ndarray
    size: int


def make_domains(size=16):
    """Make two globules of residues, Cα and Cβ, 22 Å apart."""
    rng = np.random.default_rng(0)
    alpha = np.concatenate([fold_chain(rng, size, x) for x in (-11.0, 11.0)])
    both = np.stack([alpha, alpha + rng.normal(0, 1.2, alpha.shape)], axis=1).reshape(-1, 3)
    count = len(both)
    return AtomTable(
        coordinates=both,
        elements=np.full(count, "C"),
        atomic_numbers=np.full(count, 6, np.int16),
        chains=np.full(count, "A"),
        residue_names=np.full(count, "LEU"),
        residue_numbers=np.repeat(np.arange(1, 2 * size + 1), 2).astype(np.int32),
        insertion_codes=np.full(count, ""),
        atom_names=np.tile(["CA", "CB"], count // 2),
        occupancies=np.ones(count),
        b_factors=np.zeros(count),
    )


def fold_chain(rng, size, x):
    """Walk in steps of 3.8 Å, without clashes, within 8 Å of a centre."""
    centre = np.array([x, 0.0, 0.0])
    path = [centre]
    while len(path) < size:
        steps = rng.normal(size=(200, 3))
        steps *= 3.8 / np.linalg.norm(steps, axis=1, keepdims=True)
        tried = path[-1] + steps
        apart = np.linalg.norm(tried[:, None] - np.array(path), axis=-1).min(1)
        fit = tried[(apart > 3.7) & (np.linalg.norm(tried - centre, axis=1) < 8)]
        path = [*path, fit[0]] if len(fit) else path[:1]
    return np.array(path)


@pytest.fixture(scope="session")
def fit_two_domains(tmp_path_factory):
    def fit(snr, n):
        folder = tmp_path_factory.mktemp("domains")
        atoms, angles = make_domains(), np.deg2rad([-24.0, -12.0, 0.0, 12.0, 24.0])
        second = atoms.residue_numbers > 16
        states = []
        for angle in angles:
            cos, sin = np.cos(angle), np.sin(angle)
            x = atoms.coordinates.copy()
            x[second] = x[second] @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
            states.append(atoms.with_coordinates(x))
        options = SimulateOptions(box=BOX, pixel_size=3.0, superpose=False)
        shown = load_states(states, options).atoms
        made = simulate_images(
            list(states), folder / "set", n=n, box=BOX, pixel_size=3.0, snr=snr, seed=1,
            superpose=False, threads=1, dtype="float32",
        )  # fmt: skip
        write_structure(folder / "model.cif", shown[2])
        chosen = {
            "model": folder / "model.cif", "epochs": 6, "modes": 6, "rounds": 2, "latent_dim": 1,
            "segments": 2, "fields": 4, "width": 16, "check_docking": False, "threads": 1,
            "device": "cpu",
        }  # fmt: skip
        job = structural(made.particles, folder / "job", **chosen)
        beads = np.stack([coarse_grain(state).coordinates for state in shown])
        truth = beads[made.truth()["state"].to_numpy()]
        return TwoDomains(job, made.particles, chosen, truth, beads[2], 16)

    return fit


@pytest.fixture(scope="session")
def two_domains(fit_two_domains):
    """200 clear images, fitted with half-set models."""
    return fit_two_domains(1.0, 200)


@pytest.fixture(scope="session")
def two_noisy_domains(fit_two_domains):
    """The same with ten times the noise."""
    return fit_two_domains(0.1, 200)
