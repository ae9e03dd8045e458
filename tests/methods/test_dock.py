"""A model put anywhere is found in its map, and the hand is told."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
from cryosway import CryoswayError
from cryosway.engine import read_json
from cryosway.methods import DockingMap, dock
from cryosway.particles import read_map, write_map
from cryosway.protein import find_superposition, read_structure, write_structure
from cryosway.simulate import Potential, adenylate_kinase_states, truth_volume

BOX, PIXEL = 64, 1.5
ORIGIN = (-31.5, 12.0, 7.5)
HIGHEST = 5.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dock")


@pytest.fixture(scope="module")
def truth():
    """Closed adenylate kinase, turned at random, centre of the box at 0."""
    atoms = adenylate_kinase_states(2)[0]
    turn = Rotation.random(random_state=8).as_matrix()
    centred = (atoms.coordinates - atoms.coordinates.mean(axis=0)) @ turn.T
    return atoms.with_coordinates(centred + np.array([6.0, -9.0, 4.0]))


@pytest.fixture(scope="module")
def density(truth):
    """Its map at 5 Å, as noisy as strong."""
    clean = truth_volume(truth, BOX, PIXEL, potential=Potential(resolution=HIGHEST))
    noise = np.random.default_rng(2).normal(0, clean.std(), clean.shape)
    return (clean + noise).astype(np.float32)


@pytest.fixture(scope="module")
def model(folder):
    path = folder / "closed.cif"
    write_structure(path, adenylate_kinase_states(2)[0])
    return path


@pytest.fixture(scope="module")
def mirrored_job(folder, model, density):
    mirror = np.roll(density[::-1], 1, axis=0)
    write_map(folder / "mirror.mrc", mirror, PIXEL, ORIGIN)
    return dock(model, folder / "mirror.mrc", folder / "mirrored", threads=1)


def test_global_search_finds_the_model_and_the_hand(mirrored_job, truth):
    """In the mirror of its map: found to 1 Å and 3°, and the mirror is told by a clear gap."""
    numbers = mirrored_job.info["docking"]
    assert numbers["mirrored"] is True
    assert numbers["correlation"] > 0.9
    assert numbers["correlation"] - numbers["other_hand"] > 0.2
    assert numbers["correlation"] - numbers["next"] > 0.2
    _, info = read_map(mirrored_job.path / "volumes" / "mirrored.mrc")
    centre = np.array(info.origin) + BOX // 2 * info.pixel_size
    found = read_structure(mirrored_job.path / "models" / "docked.cif").coordinates - centre
    off = find_superposition(found, truth.coordinates)
    assert np.sqrt(np.mean((found - truth.coordinates) ** 2) * 3) < 1.0
    assert np.rad2deg(Rotation.from_matrix(off.rotation).magnitude()) < 3.0


def test_the_folder_says_how_to_move_the_model(mirrored_job, model):
    numbers = read_json(mirrored_job.path / "docking.json")
    before = read_structure(model).coordinates
    after = read_structure(mirrored_job.path / "models" / "docked.cif").coordinates
    moved = before @ np.array(numbers["rotation"]).T + numbers["translation"]
    np.testing.assert_allclose(moved, after, atol=2e-3)
    assert len(numbers["placements"]) > 1
    text = (mirrored_job.path / "session.cxc").read_text()
    assert 'open "volumes/mirrored.mrc"' in text
    assert (mirrored_job.path / "figures" / "docking.png").stat().st_size > 10_000
    sentences = read_json(mirrored_job.path / "supplement.json")["sentences"]
    assert any("wrong hand" in line for line in sentences)


def test_the_low_pass_limit_is_where_model_and_map_cease_to_agree(mirrored_job):
    """Noise as strong as the 5 Å map leaves agreement to about 3 Å, and the curve says it."""
    limit = mirrored_job.info["docking"]["low_pass_angstrom"]
    assert 3.0 <= limit < 5.0
    curve = read_json(mirrored_job.path / "docking.json")["fsc"]
    below = np.array(curve["frequency_per_angstrom"]) < 0.9 / limit
    assert (np.array(curve["value"])[below] > 0.5).all()


def test_a_finished_job_is_not_done_again(mirrored_job, model, folder):
    stamp = (mirrored_job.path / "docking.json").stat().st_mtime_ns
    dock(model, folder / "mirror.mrc", folder / "mirrored", threads=1)
    assert (mirrored_job.path / "docking.json").stat().st_mtime_ns == stamp


def test_local_search_ends_where_the_model_is(folder, truth, density):
    path = folder / "map.mrc"
    write_map(path, density, PIXEL, ORIGIN)
    centre = DockingMap.read(path).centre
    turn = Rotation.from_rotvec([0.1, -0.1, 0.1]).as_matrix()
    near = truth.with_coordinates(truth.coordinates @ turn.T + centre + [2.0, 1.0, -1.0])
    write_structure(folder / "near.pdb", near)
    job = dock(folder / "near.pdb", path, folder / "local", search="local", threads=1)
    found = read_structure(job.path / "models" / "docked.cif").coordinates
    assert np.sqrt(np.mean((found - truth.coordinates - centre) ** 2) * 3) < 0.5
    assert job.info["docking"]["mirrored"] is False
    assert job.info["docking"]["other_hand"] is None
    assert (job.path / "session.cxc").read_text().count(str(path.resolve())) == 1
    page = cs.report(job)
    assert "Model and map agree to" in page.read_text()


def test_mistakes_are_told(folder, model, density):
    write_map(folder / "small.mrc", density[20:44, 20:44, 20:44], PIXEL)
    with pytest.raises(CryoswayError, match=r"closed.cif is \d+ Å long but .*small.mrc only 36 Å"):
        dock(model, folder / "small.mrc", folder / "small")
    noise = np.random.default_rng(1).normal(size=(32, 32, 32)).astype(np.float32)
    write_map(folder / "noise.mrc", noise, 3.0)
    with pytest.raises(CryoswayError, match=r"fits .*noise.mrc nowhere: the best correlation is"):
        dock(model, folder / "noise.mrc", folder / "noise", search="local")
    with pytest.raises(CryoswayError, match="no chain Z"):
        dock(model, folder / "noise.mrc", folder / "chain", chains=("Z",))
    with pytest.raises(CryoswayError, match=r"absent.cif cannot be read"):
        dock(folder / "absent.cif", folder / "noise.mrc", folder / "absent")


def test_an_assembly_of_models_is_docked_by_itself(tmp_path):
    with pytest.raises(CryoswayError, match="models=all is of one file and one copy"):
        dock("model.cif", "map.mrc", tmp_path / "out", models="all", copies=(2,))
