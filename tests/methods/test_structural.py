"""`structural` on three states of adenylate kinase."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import JobFolder, read_json
from cryosway.methods._dock.given import read_given
from cryosway.methods._fit_input import FitInput
from cryosway.methods._structural.bead_ensemble import BeadEnsemble
from cryosway.methods._structural.model import StructuralDecoder, StructuralModel
from cryosway.methods._structural.place import look_at_images
from cryosway.methods._structural.step import StructuralPriors
from cryosway.methods._structural.structural import structural
from cryosway.methods._structural.views import BeadViews, ScaleSums
from cryosway.particles import read_map, read_particles
from cryosway.protein import AtomTable, coarse_grain, read_structure, write_structure
from cryosway.simulate import adenylate_kinase_states, simulate
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._states import load_states
from cryosway.volumes import Slices

BOX, PIXEL_SIZE, COUNT = 32, 3.5, 500
QUICK = {
    "epochs": 10,
    "halves": False,
    "modes": 10,
    "rounds": 1,
    "latent_dim": 2,
    "threads": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def states():
    """Three states on the way from closed to open, in the frame of the images."""
    options = SimulateOptions(box=BOX, pixel_size=PIXEL_SIZE, superpose=False)
    return load_states(adenylate_kinase_states(5)[1:4], options).atoms


@pytest.fixture(scope="module")
def images(states, tmp_path_factory):
    return simulate(
        list(states), tmp_path_factory.mktemp("set") / "set", n=COUNT, box=BOX,
        pixel_size=PIXEL_SIZE, snr=0.5, seed=1, superpose=False, shift=5.0, threads=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reference(states, tmp_path_factory):
    """The middle state, with two waters."""
    path = tmp_path_factory.mktemp("model") / "model.cif"
    waters = replace(
        states[1][:2], residue_names=np.full(2, "HOH"), atom_names=np.full(2, "O"),
        elements=np.full(2, "O"), atomic_numbers=np.full(2, 8, np.int16), chains=np.full(2, "W"),
        residue_numbers=np.arange(2, dtype=np.int32),
    )  # fmt: skip
    write_structure(path, AtomTable.concatenate([states[1], waters]))
    return path


@pytest.fixture(scope="module")
def job(images, reference, tmp_path_factory):
    return structural(
        images.particles, tmp_path_factory.mktemp("job") / "job", model=reference, **QUICK
    )


def beads_of(atoms):
    return coarse_grain(atoms).coordinates


def test_finds_the_conformation_of_every_particle(job, images, states):
    truth = np.stack([beads_of(atoms) for atoms in states])
    true = truth[images.truth()["state"].to_numpy()]
    found = StructuralDecoder(job).beads(job.latents)

    def rmsd(x):
        return np.sqrt(((x - true) ** 2).sum(-1).mean(-1)).mean()

    assert rmsd(found) < 0.7 * rmsd(truth[1])
    bonds = np.linalg.norm(np.diff(found, axis=1), axis=-1)
    assert abs(bonds.mean() - 3.8) < 0.1
    # The table's displacement is that of the beads.
    moved = np.sqrt(((found - truth[1]) ** 2).sum(-1).mean(-1))
    assert np.allclose(job.particles["displacement"], moved, atol=0.02)


def test_job_gives_all_atoms(job, states):
    found = job.model(job.latents[0])
    assert isinstance(found, gemmi.Structure)
    assert found[0].count_atom_sites() == len(states[1])
    # Every residue has an atom on its bead.
    ca = [atom.pos.tolist() for chain in found[0] for r in chain for atom in r if atom.name == "CA"]
    beads = BeadEnsemble(job).beads(job.latents[0])[0]  # on the map
    assert np.linalg.norm(np.array(ca) - beads, axis=1).mean() < 0.3


def test_volume_is_on_the_scale_of_the_images(job, images):
    """The model's density correlates with the consensus, at about its level."""
    volume = job.volume(job.latents.mean(0))
    mean = read_map(job.path / "volumes" / "mean.mrc")[0]
    assert volume.shape == mean.shape == (BOX, BOX, BOX)
    assert np.corrcoef(volume.ravel(), mean.ravel())[0, 1] > 0.7
    assert 0.4 < (volume * mean).sum() / (volume**2).sum() < 2.5


def test_models_along_directions_lie_on_the_map(job):
    """Each file is listed, and a model's density is where the consensus is, by the map's header."""
    listed = read_json(job.path / "models" / "models.json")["models"]
    assert [entry["file"] for entry in listed] == ["direction1.cif", "direction2.cif"]
    assert len(gemmi.read_structure(str(job.path / "models" / "direction1.cif"))) == 9
    mean, info = read_map(job.path / "volumes" / "mean.mrc")
    atoms = read_structure(job.path / "models" / "direction1.cif")
    centre = np.array(info.origin) + BOX // 2 * float(info.pixel_size)
    beads = torch.from_numpy(coarse_grain(atoms).coordinates - centre).float()
    density = StructuralModel.load(job.path).views.density(beads[None])[0].numpy()
    assert np.corrcoef(density.ravel(), mean.ravel())[0, 1] > 0.6


def test_says_what_was_left_out_and_whether_images_show_the_rest(job):
    assert "2 waters were left out" in (job.path / "log.txt").read_text()
    decided = {one["what"]: one for one in read_json(job.path / "decisions.json")}
    assert decided["projections of the model"]["value"] == "good"
    assert "the images show the model" in decided["projections of the model"]["why"]


def test_agreement_of_model_and_map_is_among_the_curves(job):
    (entry,) = [
        one for one in read_json(job.path / "curves.json")["fsc"] if "model" in one["label"]
    ]
    assert entry["volume"] == "unmasked.mrc"
    assert min(entry["value"][1:5]) > 0.5
    assert len(entry["value"]) == len(entry["frequency_per_angstrom"])


def test_warns_of_images_that_do_not_show_the_model(images, states, tmp_path):
    """Particles with each other's poses."""
    particles = read_particles(images.particles)
    order = np.random.default_rng(1).permutation(COUNT)
    wrong = particles.with_poses(particles.rotations[order], particles.shifts)
    data = FitInput(wrong, np.ones(COUNT, np.int8), torch.zeros(COUNT, dtype=torch.int64))
    with (
        JobFolder.start(tmp_path / "job", "structural", {}) as job,
        pytest.warns(CryoswayWarning, match="the images do not show the model"),
    ):
        look_at_images(job, states[1], data)


def test_models_that_are_left_out_are_told_or_taken(states, tmp_path):
    path = tmp_path / "assembly.cif"
    write_structure(path, [states[0], states[2]])
    with pytest.warns(CryoswayWarning, match="holds 2 models, .* give --models all"):
        assert len(read_given(path, "first")) == len(states[0])
    both = read_given(path, "all")
    assert sorted(set(both.chains.tolist())) == ["A", "A-2"]
    assert len(both) == len(states[0]) + len(states[2])


def test_bonds_are_held_to_the_length_asked_for(states):
    model = coarse_grain(states[0])
    lengths = [
        StructuralPriors(model, 0.99, ideal=ideal).continuity.lengths for ideal in (False, True)
    ]
    assert lengths[0].std() > 0.01
    assert torch.isin(lengths[1], torch.tensor([3.8, 2.95])).all()


def test_refuses_a_misplaced_model(images, states, tmp_path):
    path = tmp_path / "far.cif"
    write_structure(
        path, states[1].with_coordinates(states[1].coordinates + np.array([12.0, 0, 0]))
    )
    with pytest.raises(CryoswayError, match="off by"):
        structural(images.particles, tmp_path / "job", model=path, **QUICK)


def test_says_which_model_cannot_be_read(images, tmp_path):
    with pytest.raises(CryoswayError, match=r"none\.cif cannot be read"):
        structural(images.particles, tmp_path / "job", model=tmp_path / "none.cif", **QUICK)


def test_scale_of_shells_is_found(states):
    """Views of the model times a falling scale give that scale, smoothed, back."""
    model = coarse_grain(states[1])
    views = BeadViews(model, BOX, PIXEL_SIZE, 17)
    ky, kx = torch.meshgrid(torch.arange(-15, 16), torch.arange(0, 16), indexing="ij")
    points = torch.stack([kx.flatten(), ky.flatten()], dim=1).float()
    shell = points.norm(dim=1).round().long()
    points, shell = points[shell <= 15], shell[shell <= 15]
    rotations = torch.eye(3).expand(2, 3, 3)
    filters = torch.ones(2, len(points))
    beads = torch.from_numpy(model.coordinates).float().expand(2, -1, -1)
    blank = Slices(torch.zeros(2, len(points), dtype=torch.cfloat), filters, rotations, points)
    bare = views.bare(blank, beads)
    true = torch.linspace(2.0, 1.0, 17)
    data = torch.view_as_complex((bare * true[shell][:, None]).contiguous())
    sums = ScaleSums(17)
    sums.add(Slices(data, filters, rotations, points), bare, shell)
    assert torch.allclose(sums.solve()[1:14], true[1:14], atol=0.15)


def test_scale_that_may_be_chance_is_none():
    """Noise of ½ in each part of a coefficient makes a match of variance power / 2."""
    sums = ScaleSums(17)
    sums.power += 200.0
    random = np.random.default_rng(0)
    sums.match.copy_(torch.from_numpy(10.0 * random.standard_normal(17)))
    assert not sums.solve().any()
    sums.match += 200.0
    assert torch.allclose(sums.solve(), torch.ones(17), atol=0.1)
