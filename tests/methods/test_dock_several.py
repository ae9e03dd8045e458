"""Several models, and copies of them, are found in one map; what is not in it is told."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
import cryosway.methods._dock.search as search
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.engine import read_json
from cryosway.methods import dock
from cryosway.methods._dock.assembly import Assembler
from cryosway.methods._dock.refine import Placement
from cryosway.particles import read_map, write_map
from cryosway.protein import find_restraints, read_prediction, read_structure, write_structure
from cryosway.protein.prediction import Prediction, write_prediction
from cryosway.simulate import Potential, adenylate_kinase_states, truth_volume

BOX, PIXEL = 36, 4.0
CENTRE = BOX // 2 * PIXEL  # of a map whose first voxel is at 0
BLOB = np.array([0.0, -4.0, 50.0])  # Å from the centre
LID = range(118, 161)
PLACES = {214: [(1, (-26, 0, 5)), (2, (26, 3, -4))], 133: [(3, (0, 36, 8))]}  # by residues


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Search as few rotations as the size of the models asks for, and fit few of the best."""
    monkeypatch.setattr(search, "_FEWEST", 200)
    monkeypatch.setattr(search, "_CANDIDATES", 4)


def put(atoms, seed, place):
    turn = Rotation.random(random_state=seed).as_matrix()
    centred = atoms.coordinates - atoms.coordinates.mean(axis=0)
    return atoms.with_coordinates(centred @ turn.T + np.asarray(place, float))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two copies of adenylate kinase, the mirror image of its core, and a ball of no model."""
    folder = tmp_path_factory.mktemp("several")
    whole = adenylate_kinase_states(2)[0].without_hydrogens()
    number = whole.residue_numbers
    mirror = whole.with_coordinates(whole.coordinates * [1, 1, -1])  # of no copy a part
    core = mirror[~np.isin(number, LID) & ((number < 30) | (number > 67))]
    other = mirror[np.isin(number, LID) | ((number > 29) & (number < 68))]
    for name, atoms in (("whole", whole), ("core", core), ("other", other)):
        write_structure(folder / f"{name}.cif", atoms)
    where = [*((whole, *place) for place in PLACES[214]), (core, *PLACES[133][0])]
    truth = [put(*each) for each in where]
    potential = Potential(resolution=9.0)
    clean = sum(truth_volume(atoms, BOX, PIXEL, potential=potential) for atoms in truth)
    grid = (np.indices((BOX,) * 3)[::-1] - BOX // 2) * PIXEL  # (x, y, z)
    away = np.linalg.norm(grid - BLOB[:, None, None, None], axis=0)
    clean += 0.5 * clean.max() / (1 + np.exp(away - 10))
    noise = np.random.default_rng(2).normal(0, 0.5 * clean.std(), clean.shape)
    write_map(folder / "map.mrc", (clean + noise).astype(np.float32), PIXEL)
    return SimpleNamespace(folder=folder, truth=truth, map=folder / "map.mrc")


@pytest.fixture(scope="module")
def job(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_FEWEST", 200)
        patch.setattr(search, "_CANDIDATES", 4)
        models = [made.folder / f"{name}.cif" for name in ("core", "whole", "other")]
        return dock(
            models, made.map, made.folder / "docked", threads=1, hand="given",
            resolution=16, copies=(1, "auto", 1),
        )  # fmt: skip


def rms(atoms, other):
    return np.sqrt(((atoms.coordinates - CENTRE - other.coordinates) ** 2).sum(1).mean())


def test_each_chain_is_found_within_an_angstrom(job, made):
    found = read_structure(job.path / "models" / "docked.cif")
    chains = {name: found.select_chains([name]) for name in "ABC"}
    assert set(found.chains) == set(chains)
    first, second, core = made.truth
    ways = [("A", "B"), ("B", "A")]
    best = min(max(rms(chains[a], first), rms(chains[b], second)) for a, b in ways)
    assert best < 1.0
    assert rms(chains["C"], core) < 1.0


def test_as_many_copies_are_found_as_there_are(job):
    bodies = read_json(job.path / "docking.json")["bodies"]
    assert [body["model"].split("/")[-1] for body in bodies] == ["whole.cif"] * 2 + ["core.cif"]
    assert all(body["correlation"] > 0.85 for body in bodies)
    assert all(0.8 < body["density"] <= 1 for body in bodies)


def test_a_chain_that_is_not_in_the_map_is_told(job):
    absent = read_json(job.path / "docking.json")["absent"]
    assert [one["model"].split("/")[-1] for one in absent] == ["other.cif"]
    assert job.info["docking"]["absent"] == 1
    assert "other is NOT in the map" in (job.path / "log.txt").read_text()


def test_what_is_explained_and_what_is_left(job):
    """Shares go with mass; the ball that no model explains is found where it is."""
    numbers = read_json(job.path / "docking.json")
    shares = np.array([body["explained"] for body in numbers["bodies"]])
    assert shares.sum() == pytest.approx(numbers["explained"])
    assert 0.8 < shares.sum() < 0.97
    np.testing.assert_allclose(shares / shares.sum(), np.array([214, 214, 133]) / 561, atol=0.04)
    blob = numbers["unexplained"][0]
    assert np.linalg.norm(np.array(blob["position"]) - CENTRE - BLOB) < 4
    assert 0.5 < blob["volume_angstrom3"] / (4 / 3 * np.pi * 10**3) < 2
    page = cs.report(job).read_text()
    assert "unexplained piece 1" in page and "other.cif: not in the map" in page
    assert "Attention: one model could not be found in the map." in page


def test_copies_are_found_in_the_mirror(made, tmp_path, monkeypatch):
    """The first body tells the hand; what is searched later is searched in that hand alone."""
    asked = []

    def find(target, few, points, plan, device, *, mirror, advance):
        asked.append(mirror)
        name = {214: "whole", 133: "core"}[len(few.weights)]
        body = read_structure(made.folder / f"{name}.cif")
        offset = points.centre - body.coordinates.mean(axis=0)
        found = []
        for seed, place in PLACES[len(few.weights)]:
            turn = Rotation.random(random_state=seed).as_matrix()
            found.append(
                Placement(turn, turn @ offset + np.array(place) + CENTRE, 0.95, mirrored=mirror)
            )
        return found

    monkeypatch.setattr("cryosway.methods._dock.assembly.search_placements", find)
    mirror = np.roll(read_map(made.map)[0][::-1], 1, axis=0)
    write_map(tmp_path / "mirror.mrc", mirror, PIXEL)
    models = [made.folder / "whole.cif", made.folder / "core.cif"]
    job = dock(models, tmp_path / "mirror.mrc", tmp_path / "j", copies=("auto", 1), threads=1)
    numbers = job.info["docking"]
    assert (numbers["mirrored"], numbers["placed"], numbers["absent"]) == (True, 3, 0)
    assert asked[:2] == [True, False]
    found = read_structure(job.path / "models" / "docked.cif")
    assert rms(found.select_chains(["C"]), made.truth[2]) < 1.0


def predict(atoms, path, pae):
    count = len(set(atoms.residue_numbers.tolist()))
    values = np.full((count, count), float(pae))
    return write_prediction(Prediction("p", atoms, np.full(count, 90.0), values), path)


def test_confidences_are_joined_and_chains_are_free_of_each_other(made, tmp_path):
    """Two predictions, near where they belong: within each the PAE is its own."""
    for name, atoms, pae in (("p1", made.truth[0], 2.0), ("p2", made.truth[1], 4.0)):
        predict(atoms.with_coordinates(atoms.coordinates + CENTRE + 1.5), tmp_path / f"{name}.cif",
                pae)  # fmt: skip
    words = [str(tmp_path / "p1.cif"), str(tmp_path / "p2.cif"), str(made.map)]
    out = tmp_path / "docked"
    assert main(["protein", "dock", *words, "--out", str(out), "--search", "local",
                 "--threads", "1"]) == 0  # fmt: skip
    found = read_prediction(out / "models" / "docked.cif")
    assert found.sequence.count(":") == 1
    assert found.pae[0, 1] == 2 and found.pae[300, 301] == 4 and found.pae[0, 300] > 30
    restraints = find_restraints(found)
    assert restraints.segments.tolist() == [1] * 214 + [2] * 214
    assert restraints.stiffness([[10, 300]])[0] < 0.02


def test_an_interrupted_search_is_not_repeated(made, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    request = {"hand": "given", "resolution": 20, "threads": 1}
    files = (made.folder / "whole.cif", made.map, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Assembler, "finish", stop)
        dock(*files, **request)
    monkeypatch.setattr("cryosway.methods._dock.assembly.search_placements", stop)
    job = dock(*files, **request)
    assert job.status == "finished" and job.info["docking"]["correlation"] > 0.85
    assert not list(tmp_path.glob("checkpoints/*"))


def test_mistakes_are_told(made, tmp_path, capsys):
    whole = made.folder / "whole.cif"
    with pytest.raises(CryoswayError, match="copies has 3 values for 1 models"):
        dock(whole, made.map, tmp_path, copies=(1, 2, 3))
    with pytest.raises(CryoswayError, match=r"copies are \(0,\); give whole numbers from 1"):
        dock(whole, made.map, tmp_path, copies=(0,))
    with pytest.raises(CryoswayError, match="are of one model"):
        dock([whole, whole], made.map, tmp_path, chains=("A",))
    write_map(tmp_path / "mask.mrc", np.eye(20)[None] * np.ones((20, 1, 1)), PIXEL)
    with pytest.raises(CryoswayError, match=r"mask.mrc has 20 voxels .* the map 36"):
        dock(whole, made.map, tmp_path / "j", mask=tmp_path / "mask.mrc")
    assert main(["protein", "dock", str(whole), "--out", str(tmp_path / "k")]) == 2
    assert "and last the map" in capsys.readouterr().err
