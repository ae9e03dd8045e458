"""From particles and a prediction to an atomic ensemble: in one command, and in either hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
import cryosway.methods._dock.search as search
import cryosway.methods._run.structure as steps
from cryosway.engine import JobFolder, read_json
from cryosway.methods._options import RunOptions
from cryosway.methods._run.models import Body
from cryosway.methods._run.structure import STRUCTURE_STEPS, StructureSteps
from cryosway.particles import read_map, read_particles, write_map
from cryosway.protein import find_superposition, read_structure
from cryosway.protein.prediction import Prediction, write_prediction
from cryosway.simulate import adenylate_kinase_states

QUICK = {"components": 1, "null_tests": 0, "clusters": 2, "directions": 1, "umap": False,
         "structural_epochs": 2, "threads": 1}  # fmt: skip
MIRROR = np.diag([1.0, 1.0, -1.0])


@pytest.fixture(scope="module")
def given(make_set, tmp_path_factory):
    """Particles of kinase opening, in poses of the wrong hand; a prediction of the closed one."""
    folder = tmp_path_factory.mktemp("given")
    simulated = make_set(2, n=150, snr=0.5, shift=5.0)
    particles = read_particles(simulated.particles)
    wrong = particles.with_poses(MIRROR @ particles.rotations @ MIRROR, particles.shifts)
    wrong.write(folder / "wrong.star", absolute_paths=True)
    closed = adenylate_kinase_states(2)[0].without_hydrogens()
    turn = Rotation.random(random_state=3).as_matrix()
    turned = closed.with_coordinates(closed.coordinates @ turn.T + 10)
    apart = np.abs(np.subtract.outer(np.arange(214), np.arange(214)))
    made = Prediction("adk", turned, np.full(214, 88.0), np.where(apart < 30, 2.0, 5.0))
    write_prediction(made, folder / "adk.cif")
    (folder / "adk.fasta").write_text(f">adk\n{made.sequence}\n")
    return SimpleNamespace(
        particles=folder / "wrong.star", rotations=particles.rotations, closed=closed,
        options={"sequence": folder / "adk.fasta", "prediction": (folder,)},
    )  # fmt: skip


@pytest.fixture
def few_rotations(monkeypatch):
    monkeypatch.setattr(search, "_FEWEST", 600)
    monkeypatch.setattr(search, "_CANDIDATES", 4)


@pytest.mark.slow
def test_from_sequence_to_ensemble_in_one_command(given, tmp_path, few_rotations, monkeypatch):
    """The hand is mended, the model docked and followed; an interrupted run goes on."""

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(steps, "structural", stop)
        cs.run(given.particles, folder, **given.options, **QUICK)
    assert cs.open_job(folder).status == "interrupted"
    done = ("prepare", "backproject", "dock", "linear")
    before = [(folder / name / "job.json").stat().st_mtime_ns for name in done[:3]]
    job = cs.run(given.particles, folder, **given.options, **QUICK)
    assert [(folder / name / "job.json").stat().st_mtime_ns for name in done[:3]] == before
    assert job.status == "finished" and job.info["main"] == "structural"
    for name in (*done, *STRUCTURE_STEPS[1:]):
        assert cs.open_job(folder / name).status == "finished"
    assert "mirrored" in {d["value"] for d in read_json(folder / "decisions.json")}
    used = read_particles(folder / "structural" / "particles.star")
    np.testing.assert_allclose(used.rotations, given.rotations, atol=1e-4)
    docked = read_structure(folder / "dock" / "models" / "docked.cif")
    apart = find_superposition(docked.coordinates, given.closed.coordinates)
    assert apart.rmsd < 0.01  # the same hand, as a rigid body
    assert len(job.model(job.latents[0])[0][0]) == 214
    page = (folder / "report.html").read_text()
    for title in ("Docking", "How sure the motion is", "Motions", "Deformed backprojection"):
        assert title in page


def write_docked(folder, **numbers):
    with JobFolder.start(folder, "protein dock", {}, {}) as job:
        job.update(docking=numbers)
    return cs.open_job(folder)


def test_wrong_hand_mirrors_poses_and_mask(given, tmp_path, monkeypatch):
    """Views of a map in given poses are those of its mirror in mirrored ones."""
    asked = {}

    def fake_dock(models, target, out, **how):
        asked.update(how, models=models, target=target)
        return write_docked(out, mirrored=True, correlation=0.9, other_hand=0.5)

    monkeypatch.setattr(steps, "dock", fake_dock)
    mask = np.zeros((32, 32, 32), np.float32)
    mask[20, 16, 16] = 1
    write_map(tmp_path / "mask.mrc", mask, 4.5)
    particles = read_particles(given.particles)
    consensus = SimpleNamespace(path=tmp_path)
    bodies = [Body(tmp_path / "a.cif", 2), Body(tmp_path / "b.cif", None)]
    with JobFolder.start(tmp_path / "run", "run", {}, {}) as job:
        made = StructureSteps(job, RunOptions.check("run", {}), {"threads": 1})
        mended, mirrored = made.dock(bodies, consensus, particles, tmp_path / "mask.mrc")
    np.testing.assert_allclose(mended.rotations, given.rotations, atol=1e-5)
    np.testing.assert_allclose(mended.shifts, particles.shifts)
    assert np.argwhere(read_map(mirrored)[0] > 0.5).tolist() == [[12, 16, 16]]  # 16 is the centre
    assert asked["copies"] == (2, "auto")
    assert asked["target"] == tmp_path / "volumes" / "half1.mrc"  # the other judges


def test_folding_each_sequence_once(tmp_path, monkeypatch):
    """A sequence with copies is folded once, by what the user chose."""
    asked = {}

    def fake_fold(sequences, out, **how):
        asked.update(how, text=sequences.read_text())

    monkeypatch.setattr(steps, "fold", fake_fold)
    monkeypatch.setattr(steps, "choose_folded", lambda chains, folder: chains)
    fasta = tmp_path / "s.fasta"
    fasta.write_text(">a\nMKV\n>b\nMKV\n>c\nMAA\n")
    chosen = {"sequence": fasta, "checkpoint": tmp_path, "engine": "trrosetta"}
    with JobFolder.start(tmp_path / "run", "run", {}, {}) as job:
        made = StructureSteps(job, RunOptions.check("run", chosen), {"threads": 1})
        chains = made.find_bodies()
    assert asked["text"] == ">a\nMKV\n>c\nMAA\n"
    assert asked["engine"] == "trrosetta" and asked["threads"] == 1
    assert [chain.copies for chain in chains] == [2, None]


def test_the_audit_comes_last_where_it_is_asked_for(tmp_path, monkeypatch):
    done = []

    def note(name):
        def run(first, out, *arguments, **how):
            done.append((name, out.name, how.get("seed")))
            return first

        return run

    for name in ("structural", "motions", "density", "audit"):
        monkeypatch.setattr(steps, name, note(name))
    for asked in (False, True):
        chosen = RunOptions.check("run", {"model": tmp_path / "m.cif", "audit": asked, "seed": 3})
        with JobFolder.start(tmp_path / str(asked), "run", {}, {}) as job:
            made = StructureSteps(job, chosen, {"threads": 1, "overwrite": True})
            made.follow(None, SimpleNamespace(path=tmp_path), "auto")
    assert [name for name, _, _ in done] == [
        "structural", "motions", "density", "structural", "motions", "density", "audit",
    ]  # fmt: skip
    assert done[-1] == ("audit", "audit", 3)
