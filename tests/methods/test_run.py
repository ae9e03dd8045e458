"""`run` does every step once, and comes to the same answer however often it is stopped."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import cryosway as cs
import cryosway.methods._run.run as run_module
from cryosway import CryoswayError
from cryosway.engine import JobFolder
from cryosway.methods._options import RunOptions
from cryosway.methods._run.run import STEPS, _choose_box
from cryosway.particles import Particles, read_map, write_map

QUICK = {"components": 1, "null_tests": 0, "clusters": 2, "directions": 1, "umap": False}


@pytest.fixture(scope="module")
def simulated(make_set):
    return make_set(2, n=400, snr=0.3)


@pytest.fixture(scope="module")
def job(simulated, tmp_path_factory):
    return cs.run(simulated.particles, tmp_path_factory.mktemp("job") / "run", **QUICK)


def read_json(path):
    return json.loads(path.read_text())


def modified(folder, names=STEPS):
    return {name: (folder / name / "job.json").stat().st_mtime_ns for name in names}


def test_all_steps_and_the_report(job, simulated):
    assert job.status == "finished" and job.info["main"] == "linear"
    for name in STEPS:
        assert cs.open_job(job.path / name).status == "finished"
        assert job.info["timings"][name] > 0
    assert (job.path / "report.html").stat().st_size > 50_000
    assert {v["kind"] for v in job.volumes} >= {"mean", "mask", "cluster", "path"}
    assert job.latents.shape == (400, 1) and job.box == 32
    assert (job.particles["index"] == np.arange(400)).all()


def test_the_two_states_are_told_apart(job, simulated):
    opened = simulated.truth()["state"].to_numpy() == 1
    z = job.latents[:, 0]
    assert abs(np.corrcoef(z, opened)[0, 1]) > 0.8
    truth = read_map(simulated.volumes[1])[0]
    mask = next(v for v in job.volumes if v["kind"] == "mask")
    mask = read_map(job.main.path / "volumes" / mask["file"])[0]
    right = cs.auc_fsc(cs.fsc(job.volume([z[opened].mean()]) * mask, truth * mask))
    wrong = cs.auc_fsc(cs.fsc(job.volume([z[~opened].mean()]) * mask, truth * mask))
    assert right > wrong + 0.05


def test_decisions_reach_the_report(job):
    decided = {d["what"]: d["value"] for d in read_json(job.path / "decisions.json")}
    assert decided["working box"] == 32
    page = (job.path / "report.html").read_text()
    assert "working box" in page and "the images are small" in page


def test_finished_run_stands(job, simulated):
    before, page = modified(job.path), (job.path / "report.html").stat().st_mtime_ns
    began = time.monotonic()
    cs.run(simulated.particles, job.path, **QUICK)
    assert time.monotonic() - began < 2
    assert modified(job.path) == before
    assert (job.path / "report.html").stat().st_mtime_ns == page


def test_other_options_repeat_only_what_they_change(job, simulated, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "report", lambda folder: folder)
    folder = tmp_path / "run"
    shutil.copytree(job.path, folder)  # keeps the times of the stack, which identify it
    for name in ("particles.mrcs", "particles.star"):
        shutil.copystat(job.path / "prepare" / name, folder / "prepare" / name)
    with pytest.raises(CryoswayError, match="clusters=2, not 3"):
        cs.run(simulated.particles, folder, **{**QUICK, "clusters": 3})
    before = modified(folder)
    changed = cs.run(simulated.particles, folder, overwrite=True, **{**QUICK, "clusters": 3})
    after = modified(folder)
    assert after["inspect"] == before["inspect"] and after["prepare"] == before["prepare"]
    assert sum(v["kind"] == "cluster" for v in changed.volumes) == 3


@pytest.mark.slow
def test_the_network_and_its_landscape_join_the_report(job, simulated, tmp_path):
    """The network starts from the linear job that stands, and gets as many maps."""
    folder = tmp_path / "run"
    shutil.copytree(job.path, folder)
    for name in ("particles.mrcs", "particles.star"):
        shutil.copystat(job.path / "prepare" / name, folder / "prepare" / name)
    before = modified(folder)
    settings = {**QUICK, "neural": True, "neural_epochs": 1}
    joint = cs.run(simulated.particles, folder, overwrite=True, **settings)
    assert modified(folder, STEPS[:-1]) == {name: before[name] for name in STEPS[:-1]}
    network = cs.open_job(folder / "vae")
    for kind in ("cluster", "path"):
        counts = [sum(v["kind"] == kind for v in one.volumes) for one in (joint, network)]
        assert counts[0] == counts[1] > 0
    assert {"pc1", "cluster"} <= set(network.particles)
    page = (folder / "report.html").read_text()
    assert "Linear model above, network below" in page
    assert "follows linearly from those of the linear model" in page
    assert joint.info["main"] == "linear" and joint.info["timings"]["vae landscape"] > 0


@pytest.fixture
def short(monkeypatch):
    """Leave out what takes long: the fit, the landscape and the report."""

    def fake_linear(particles, out, **options):
        with JobFolder.start(out, "linear", {}, {"particles": particles.fingerprint()}) as step:
            step.update(box=particles.box)
        return cs.open_job(out)

    monkeypatch.setattr(run_module, "linear", fake_linear)
    monkeypatch.setattr(run_module, "landscape", lambda *_, **__: None)
    monkeypatch.setattr(run_module, "report", lambda folder: folder / "report.html")


def test_moved_run_still_makes_maps(job, tmp_path):
    before = job.volume(job.latents[0])
    moved = shutil.move(shutil.copytree(job.path, tmp_path / "copy"), tmp_path / "moved")
    hidden = shutil.move(job.path / "prepare", tmp_path / "hidden")
    try:
        opened = cs.open_job(moved)
        np.testing.assert_allclose(opened.volume(opened.latents[0]), before, atol=1e-5)
    finally:
        shutil.move(hidden, job.path / "prepare")


def test_no_resume_starts_anew(simulated, tmp_path, short):
    p = cs.read_particles(simulated.particles)[:120]
    cs.run(p, tmp_path / "run", **QUICK)
    before = modified(tmp_path / "run")
    again = cs.run(p, tmp_path / "run", resume=False, **QUICK)
    assert again.info["attempts"] == 1
    assert all(modified(tmp_path / "run")[name] != before[name] for name in STEPS)


KILLED = """
import os, signal, sys, json
import cryosway as cs
import cryosway.methods._run.run as run
import cryosway.methods._backproject as backproject

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

at = sys.argv[3]
if at == "inside backproject":
    backproject._write_maps = die
else:
    setattr(run, at, die)
cs.run(sys.argv[1], sys.argv[2], threads=1, **json.loads(sys.argv[4]))
"""


@pytest.mark.slow
def test_killed_runs_come_to_the_same_answer(job, simulated, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    for at in ("inside backproject", "landscape"):
        words = [sys.executable, "-c", KILLED, str(simulated.particles), str(folder), at]
        done = subprocess.run([*words, json.dumps(QUICK)], capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert cs.open_job(folder).status == "interrupted"
    standing = modified(folder, ("inspect", "prepare", "backproject", "linear"))
    monkeypatch.setattr(run_module, "report", lambda folder: folder)
    resumed = cs.run(simulated.particles, folder, **QUICK)
    assert modified(folder) == standing
    assert resumed.info["attempts"] == 3
    np.testing.assert_allclose(resumed.latents, job.latents, rtol=1e-4, atol=1e-5)  # to rounding
    columns = ["index", "half", "rot", "z1", "z1_sd", "cluster", "pc1"]
    pd.testing.assert_frame_equal(
        resumed.particles[columns], job.particles[columns], rtol=1e-4, atol=1e-5
    )
    files = {v["file"] for v in job.volumes}
    assert files == {v["file"] for v in resumed.volumes}
    for file in files:
        a, b = (read_map(j.main.path / "volumes" / file)[0] for j in (job, resumed))
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max(), rtol=0, err_msg=file)


class Decisions:
    def __init__(self):
        self.why = {}

    def decide(self, what, value, why):
        self.why[what] = (value, why)


class Looked:
    def __init__(self, **info):
        self.info = info


@pytest.mark.parametrize(
    ("given", "size", "quick", "box"),
    [
        ({}, 64, {"resolution_angstrom": 9.0, "pixel_size": 3.0}, 64),
        ({}, 48, {"resolution_angstrom": 9.0, "pixel_size": 3.0}, 48),
        ({}, 320, {"resolution_angstrom": 13.2, "pixel_size": 6.55}, 128),
        ({}, 320, {"resolution_angstrom": 20.0, "pixel_size": 6.55}, 72),
        ({}, 320, {"resolution_angstrom": 40.0, "pixel_size": 6.55}, 64),
        ({}, 320, {}, 128),
        ({"crop": 200}, 320, {"resolution_angstrom": 13.2, "pixel_size": 6.55}, 128),
        ({"box": 100}, 320, {}, 100),
    ],
)
def test_working_box(given, size, quick, box):
    """Nyquist is finer than what the quick map reaches, the box from 64 to 128 px."""

    class Images:
        boxes = {1: size}  # noqa: RUF012
        ctf = pd.DataFrame({"pixel_size": [419.2 / size], "optics_group": [1]})

    decisions = Decisions()
    options = RunOptions(**given)
    assert _choose_box(decisions, Images(), options, Looked(**quick)) == box
    assert decisions.why["working box"][0] == box


def test_optics_groups_of_several_sizes(make_set, simulated, tmp_path, short):
    """The working box holds no more than the coarsest pixels do."""
    coarse = make_set(n=60, seed=2, box=24, pixel_size=6.0)
    p = Particles.concatenate([cs.read_particles(one.particles) for one in (coarse, simulated)])
    cs.run(p, tmp_path / "run", **QUICK)
    made = cs.open_job(tmp_path / "run" / "backproject")
    assert (made.box, made.info["images"]) == (24, 460)


def test_mask_is_brought_to_the_working_box(simulated, tmp_path, short):
    mask = np.zeros((32, 32, 32), np.float32)
    mask[6:26, 6:26, 6:26] = 1
    write_map(tmp_path / "mask.mrc", mask, 4.5)
    settings = {**QUICK, "box": 24, "mask": tmp_path / "mask.mrc"}
    p = cs.read_particles(simulated.particles)[:120]
    cs.run(p, tmp_path / "run", **settings)
    made = cs.open_job(tmp_path / "run" / "backproject")
    assert (made.box, made.pixel_size) == (24, pytest.approx(6.0))
    used, info = read_map(tmp_path / "run" / "mask.mrc")
    assert used.shape == (24, 24, 24) and info.pixel_size == pytest.approx(6.0)
    assert used.mean() == pytest.approx(mask.mean(), rel=0.03)
    write_map(tmp_path / "small.mrc", mask[:20, :20, :20], 4.5)
    with pytest.raises(CryoswayError, match=r"spans 90\.0 Å, but the images 144\.0 Å"):
        cs.run(p, tmp_path / "other", **{**settings, "mask": tmp_path / "small.mrc"})


def test_particles_without_poses_are_refused(simulated, tmp_path):
    p = cs.read_particles(simulated.particles)
    p = Particles(replace(p.records, rotations=None, shifts=None))
    with pytest.raises(CryoswayError, match="the particles have no poses"):
        cs.run(p, tmp_path / "run")
    assert not (tmp_path / "run").exists()
