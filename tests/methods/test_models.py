"""Models of a structural job: all atoms, where the maps are, with the geometry of the reference."""

import json
import shutil

import gemmi
import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.engine import write_json, write_table
from cryosway.methods._structural.bead_ensemble import BeadEnsemble, uncertainty_to_b_factor
from cryosway.particles import read_map
from cryosway.protein import coarse_grain


def read_models(path):
    """All models' coordinates (n, atoms, 3), and the first's atoms with residue and name."""
    found = gemmi.read_structure(str(path))
    atoms = [[(r, atom) for chain in model for r in chain for atom in r] for model in found]
    places = np.array([[atom.pos.tolist() for _, atom in one] for one in atoms])
    return places, atoms[0]


def bonds_of(places):
    return cKDTree(places).query_pairs(1.95, output_type="ndarray")


def lengths(places, pairs):
    return np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)


@pytest.fixture(scope="module")
def along(hinged, tmp_path_factory):
    out = tmp_path_factory.mktemp("models")
    return cs.write_models(hinged.job, out, directions=(1,), points=5)


def test_models_along_a_direction_move_and_keep_their_bonds(hinged, along):
    assert [path.name for path in along] == ["direction1.cif"]
    places, _ = read_models(along[0])
    ensemble = BeadEnsemble(hinged.job)
    reference = ensemble.coarse.atoms.coordinates
    assert places.shape == (5, len(reference), 3)
    # The LID's far end goes 10 Å and more, and on, step by step.
    moved = np.linalg.norm(places - places[0], axis=-1).max(axis=1)
    assert moved[-1] > 8 and (np.diff(moved) > 1).all()
    pairs = bonds_of(reference)
    right = lengths(reference, pairs)
    for model in places:
        wrong = lengths(model, pairs) - right
        assert np.sqrt(np.mean(wrong**2)) < 0.03
        assert np.abs(wrong).max() < 0.25


def test_no_residue_is_torn_apart(hinged, along):
    """Atoms of a residue stay together as they were, and peptides stay bonded."""
    places, atoms = read_models(along[0])
    residue = pd.factorize(pd.Series([str(r.seqid) for r, _ in atoms]))[0]
    reference = BeadEnsemble(hinged.job).coarse.atoms.coordinates

    def sizes(x):
        centre = pd.DataFrame(x).groupby(residue).transform("mean").to_numpy()
        return pd.Series(np.linalg.norm(x - centre, axis=1)).groupby(residue).max().to_numpy()

    for model in places:
        assert np.abs(sizes(model) - sizes(reference)).max() < 0.5
    c = np.array([at for at, (_, atom) in enumerate(atoms) if atom.name == "C"])
    n = np.array([at for at, (_, atom) in enumerate(atoms) if atom.name == "N"])
    peptide = np.linalg.norm(places[:, c[:-1]] - places[:, n[1:]], axis=-1)
    assert peptide.max() < 1.6 and peptide.min() > 1.1


def test_the_ligand_rides_with_its_lid(hinged, along):
    places, atoms = read_models(along[0])
    ligand = np.array([r.name == "LIG" for r, _ in atoms])
    near = np.array([125 <= r.seqid.num <= 152 and a.name == "CA" for r, a in atoms])
    assert ligand.sum() == 3
    assert np.linalg.norm(places[-1][ligand] - places[0][ligand], axis=1).min() > 5
    apart = np.linalg.norm(places[:, ligand, None] - places[:, None, near], axis=-1)
    assert np.abs(apart - apart[0]).max() < 0.5


def test_models_lie_on_the_maps(hinged, along):
    """Density is high at the atoms: the frame is that of the map's header."""
    density, info = read_map(hinged.job.path / "volumes" / "mean.mrc")
    places, atoms = read_models(along[0])
    ca = np.array([atom.name == "CA" for _, atom in atoms])
    index = np.round((places[2][ca] - info.origin) / info.pixel_size).astype(int)
    at_atoms = density[tuple(index.T[::-1])]
    assert np.median(at_atoms) > np.percentile(density, 97)


def test_index_says_what_each_model_is(along, hinged):
    (entry,) = json.loads((along[0].parent / "models.json").read_text())["models"]
    assert (entry["file"], entry["kind"]) == ("direction1.cif", "direction")
    assert [state["model"] for state in entry["states"]] == [1, 2, 3, 4, 5]
    first = BeadEnsemble(hinged.job).beads(np.array(entry["states"][0]["z"]))[0]
    places, atoms = read_models(along[0])
    ca = np.array([atom.name == "CA" for _, atom in atoms])
    assert np.linalg.norm(places[0][ca] - first, axis=1).max() < 0.4


def test_particles_latents_and_a_path_between(hinged, tmp_path):
    job = hinged.job
    made = cs.write_models(job, tmp_path, particles=(3, 5), latents=[[0.5, 0.0]])
    assert [path.name for path in made] == ["latents.cif", "particles.cif"]
    places, atoms = read_models(made[1])
    ca = np.array([atom.name == "CA" for _, atom in atoms])
    beads = BeadEnsemble(job).beads(job.latents[[3, 5]])
    assert np.linalg.norm(places[:, ca] - beads, axis=-1).mean() < 0.1
    (path,) = cs.write_models(job, tmp_path, particles=(3, 5), path=True, points=3)
    walked = json.loads((tmp_path / "models.json").read_text())["models"][-1]["states"]
    z = np.array([state["z"] for state in walked])
    assert path.name == "path.cif"
    np.testing.assert_allclose(z, [job.latents[3], job.latents[[3, 5]].mean(0), job.latents[5]])


def test_single_files_and_clusters(hinged, tmp_path):
    job = cs.open_job(shutil.copytree(hinged.job.path, tmp_path / "job"))
    with pytest.raises(CryoswayError, match="run cryosway landscape"):
        cs.write_models(job, tmp_path / "out", cluster_centres=True)
    axes = {"mean": [0.5, 0], "scale": [2, 1], "directions": np.eye(2), "variance": [1, 1]}
    centres = [{"cluster": 1, "centre": [0, 0]}, {"cluster": 2, "centre": [-0.5, 0.5]}]
    write_json(job.path / "landscape.json", {"axes": axes, "clusters": centres})
    made = cs.write_models(job, tmp_path / "out", cluster_centres=True, files="single")
    assert [path.name for path in made] == ["cluster_01.cif", "cluster_02.cif"]
    listed = json.loads((tmp_path / "out" / "models.json").read_text())["models"]
    assert [entry["states"][0]["z"] for entry in listed] == [[0.5, 0.0], [-0.5, 0.5]]


def test_models_of_states(hinged, tmp_path):
    job = cs.open_job(shutil.copytree(hinged.job.path, tmp_path / "job"))
    with pytest.raises(CryoswayError, match="run cryosway states"):
        cs.write_models(job, tmp_path / "out", states=True)
    axes = {"mean": [0.5, 0], "scale": [2, 1], "directions": np.eye(2), "variance": [1, 1]}
    found = [{"state": 1, "centre": [0, 0]}, {"state": 2, "centre": [-0.5, 0.5]}]
    write_json(job.path / "states.json", {"axes": axes, "states": found})
    typed = ["models", str(job.path), "--out", str(tmp_path / "out"), "--states"]
    assert main(typed) == 0
    (entry,) = json.loads((tmp_path / "out" / "models.json").read_text())["models"]
    assert (entry["file"], entry["kind"]) == ("states.cif", "state")
    assert [state["z"] for state in entry["states"]] == [[0.5, 0.0], [-0.5, 0.5]]
    assert [state["label"] for state in entry["states"]] == ["state 01", "state 02"]


def test_b_factors_tell_the_uncertainty(hinged, tmp_path):
    """B = 8π²/3 u²: an rms error of 1 Å is a B of 26.3 Å²; a ligand has its residue's."""
    assert uncertainty_to_b_factor(np.array(1.0)) == pytest.approx(26.32, abs=0.01)
    job = cs.open_job(shutil.copytree(hinged.job.path, tmp_path / "job"))
    count = len(coarse_grain(BeadEnsemble(job).coarse.atoms))
    doubt = np.linspace(0.2, 1.5, count)
    write_table(job.path / "residues.parquet", pd.DataFrame({"uncertainty": doubt}))
    (path,) = cs.write_models(job, tmp_path / "out", particles=(0,))
    _, atoms = read_models(path)
    b = [atom.b_iso for _, atom in atoms if atom.name == "CA"]
    np.testing.assert_allclose(b, 8 * np.pi**2 / 3 * doubt**2, atol=0.01)
    write_table(job.path / "residues.parquet", pd.DataFrame({"uncertainty": doubt[:5]}))
    with pytest.raises(CryoswayError, match=r"has 5 rows, but the model has 214 beads"):
        cs.write_models(job, tmp_path / "out", particles=(0,))


def test_command_line(hinged, tmp_path, capsys):
    typed = ["models", str(hinged.job.path), "--out", str(tmp_path), "--latents", "-0.5,0.2"]
    assert main([*typed, "--files", "single"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "latent_001.cif")]


def test_sentences(hinged, tmp_path):
    for options, sentence in [
        ({}, "nothing was asked for: give --latents"),
        ({"directions": (3,)}, "there is no direction 3; .* has 2 latent dimensions: 1 to 2"),
        ({"particles": (40,)}, "has no particle 40: rows go from 0 to 39"),
        ({"latents": [[1.0]]}, "latent 1 is .*: .* wants 2 finite numbers"),
        ({"particles": (1,), "path": True}, "a path needs two points at least"),
        ({"directions": (1,), "points": 1}, "points is 1, but a path needs 2"),
    ]:
        with pytest.raises(CryoswayError, match=sentence):
            cs.write_models(hinged.job, tmp_path, **options)
    from cryosway.engine import JobFolder

    with JobFolder.start(tmp_path / "linear", "linear", {}):
        pass
    with pytest.raises(CryoswayError, match="is a linear job, which has no atomic model"):
        cs.write_models(tmp_path / "linear", tmp_path, particles=(0,))
