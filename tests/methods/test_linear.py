"""`linear` finds the motion that is there, none where there is none, and maps along it."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.methods._shared_choices import warn_of_window
from cryosway.optics import relion_euler_to_matrix, rotation_angle
from cryosway.particles import read_map, write_map
from cryosway.particles._preparation import circular_window

QUICK = {"iterations": 6, "null_tests": 3}


@pytest.fixture(scope="module")
def job(two_states, tmp_path_factory):
    return cs.linear(two_states.particles, tmp_path_factory.mktemp("job") / "linear", **QUICK)


@pytest.fixture(scope="module")
def states(two_states):
    return two_states.truth()["state"].to_numpy()


def test_two_states_are_heterogeneous(job):
    found = job.info["heterogeneity"]
    assert found["verdict"] == "heterogeneous"
    first = found["directions"][0]
    assert first["p_value"] < 0.01
    assert first["variance_explained"] > 5 * first["noise_alone"]


def test_one_state_is_homogeneous(one_state, tmp_path):
    homogeneous = cs.linear(one_state.particles, tmp_path / "one", **QUICK)
    found = homogeneous.info["heterogeneity"]
    assert found["verdict"] == "homogeneous"
    assert all(d["p_value"] > 0.01 for d in found["directions"])
    assert homogeneous.latents.shape == (600, 1)


@pytest.fixture(scope="module")
def wrong_poses(make_set):
    """One state, poses in error by 4° and 1 px about every axis."""
    return make_set(n=900, angle_error=4.0, shift_error=1.0)


def test_errors_of_poses_are_no_heterogeneity(wrong_poses, tmp_path):
    job = cs.linear(wrong_poses.particles, tmp_path / "auto", **QUICK)
    assert job.info["heterogeneity"]["verdict"] == "homogeneous"
    decisions = json.loads((job.path / "decisions.json").read_text())
    decided = next(d for d in decisions if d["what"] == "errors of the poses")
    turn, move = (float(part.split("°")[0].split(" Å")[0]) for part in decided["value"].split(","))
    assert turn == pytest.approx(4.0, rel=0.35)
    assert move == pytest.approx(4.5, rel=0.35)
    naive = cs.linear(wrong_poses.particles, tmp_path / "none", pose_errors="none", **QUICK)
    first = [j.info["heterogeneity"]["directions"][0]["variance_explained"] for j in (job, naive)]
    assert first[1] > 2 * first[0]

    truth = wrong_poses.truth()
    true = relion_euler_to_matrix(truth["rot"], truth["tilt"], truth["psi"])
    given = cs.read_particles(wrong_poses.particles)
    found = cs.read_particles(job.path / "particles.star")
    before, after = (np.median(rotation_angle(p.rotations, true)) for p in (given, found))
    assert after < 0.75 * before
    shifts = truth[["shift_x", "shift_y"]].to_numpy()
    before, after = (np.sqrt(np.mean((p.shifts - shifts) ** 2)) for p in (given, found))
    assert after < 0.6 * before


def test_right_poses_stay(job, two_states):
    given = cs.read_particles(two_states.particles)
    found = cs.read_particles(job.path / "particles.star")
    assert np.median(rotation_angle(given.rotations, found.rotations)) < 1.0  # degrees


def test_latents_tell_the_states_apart(job, states):
    z = job.latents[:, 0]
    threshold = 0.5 * (z[states == 0].mean() + z[states == 1].mean())
    right = np.mean((z > threshold) == (states == 1))
    assert max(right, 1 - right) > 0.9
    assert job.latent_sd.shape == job.latents.shape
    assert abs(z.mean()) < 0.1 * z.std()


def test_maps_at_the_states_beat_the_consensus(job, two_states, states):
    truth = [read_map(path)[0] for path in two_states.volumes]
    consensus = read_map(job.path / "volumes" / "mean.mrc")[0]
    for state in (0, 1):
        z = job.latents[states == state].mean(0)
        ours = cs.auc_fsc(cs.fsc(job.volume(z), truth[state]))
        assert ours > cs.auc_fsc(cs.fsc(consensus, truth[state])) + 0.01
        other = cs.auc_fsc(cs.fsc(job.volume(z), truth[1 - state]))
        assert ours > other + 0.02


def test_half_maps_resolution_and_support(job):
    z = job.latents[0]
    first, second = job.half_maps(z)
    assert first.shape == second.shape == (32, 32, 32)
    assert np.abs(first - second).max() > 0
    curve = job.fsc(z)
    assert curve.shape == (16,) and curve[2:5].min() > 0.8
    assert 50 < job.n_effective(z) < 600
    assert job.box == 32 and job.pixel_size == 4.5
    assert "local_resolution" in [entry["kind"] for entry in job.volumes]


def test_table_has_what_the_fit_found(job, two_states):
    table = job.particles
    assert len(table) == 600
    np.testing.assert_array_equal(np.unique(table["half"]), [1, 2])
    assert table["contrast"].mean() == pytest.approx(1, abs=0.02)
    assert {"z1", "z1_sd", "log_likelihood", "image_name", "defocus_u"} <= set(table.columns)


def test_half_sets_share_the_first_component(job):
    import torch

    from cryosway.methods._linear.model import LinearModel

    halves = LinearModel.load(job.path).half_volumes
    first, second = halves[0, 1].flatten(), halves[1, 1].flatten()
    assert float(torch.corrcoef(torch.stack([first, second]))[0, 1]) > 0.8


def test_number_of_components_can_be_given(two_states, tmp_path):
    two = cs.linear(
        two_states.particles, tmp_path / "two", components=2, iterations=2, null_tests=0
    )
    assert two.latents.shape == (600, 2)
    assert "heterogeneity" not in two.info


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "nowhere.mrc"}, "nowhere.mrc cannot be read"),
        ({"componets": 3}, "did you mean 'components'"),
        ({"iterations": 0}, "iterations"),
        ({"null_tests": 1}, "null_tests"),
    ],
)
def test_mistakes_are_told(two_states, tmp_path, options, message):
    with pytest.raises(CryoswayError, match=message):
        cs.linear(two_states.particles, tmp_path / "wrong", **options)


_RUN = """
import sys
import cryosway as cs
cs.linear(sys.argv[1], sys.argv[2], iterations=4, null_tests=2, threads=1)
"""


def test_killed_fit_resumes_to_the_same_answer(two_states, tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, "-c", _RUN, str(two_states.particles), str(out)]
    process = subprocess.Popen(command)
    metrics = out / "metrics.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and metrics.read_text().count("\n") >= 3:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert cs.open_job(out).status == "interrupted"
    options = {"iterations": 4, "null_tests": 2, "threads": 1}
    resumed = cs.linear(two_states.particles, out, **options)
    whole = cs.linear(two_states.particles, tmp_path / "whole", **options)
    assert "resumes" in (out / "log.txt").read_text()
    # The same to rounding: float32 sums may be grouped differently by other numbers of threads.
    scale = whole.latents.std()
    np.testing.assert_allclose(resumed.latents, whole.latents, rtol=1e-3, atol=1e-3 * scale)
    for found, expected in zip(
        *(j.info["heterogeneity"]["directions"] for j in (resumed, whole)), strict=True
    ):
        assert found == pytest.approx(expected, rel=1e-3)
    rows = [pd.read_csv(folder / "metrics.csv") for folder in (out, tmp_path / "whole")]
    pd.testing.assert_frame_equal(*rows, rtol=1e-3)


def test_windowed_images_are_warned_of(one_state, rewrite):
    """A window takes the noise from the corners, and the fit would take the rest for motion."""
    window = circular_window(32)
    faded = rewrite(one_state, lambda images, _: images * window)
    with pytest.warns(CryoswayWarning, match="fade out towards their corners"):
        warn_of_window(faded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_window(cs.read_particles(one_state.particles))


def test_mask_holds_what_moves_too_far_for_the_mean_map(make_phantom, make_set, tmp_path):
    angles = np.arange(10) * np.pi / 5
    rod = np.linspace(22, 50, 6)[:, None]  # Å from the centre
    body = make_phantom(radius=18.0)
    maps = []
    for number, angle in enumerate(angles):
        places = rod * np.array([np.cos(angle), np.sin(angle), 0.0])
        centres = np.concatenate([body.centres, places])
        weights = np.concatenate([body.weights, np.full(len(rod), 2.0)])
        density = replace(body, centres=centres, weights=weights).volume(32, 4.5)
        maps.append(tmp_path / f"state{number}.mrc")
        write_map(maps[-1], density.astype(np.float32), 4.5)
    made = make_set(maps, n=800)
    job = cs.linear(made.particles, tmp_path / "job", iterations=6, null_tests=5)
    usual = cs.backproject(made.particles, tmp_path / "mean")

    def missing(folder):
        mask = read_map(folder / "volumes" / "mask.mrc")[0]
        truth = [read_map(path)[0] for path in made.volumes]
        return [float(np.square(v * (1 - mask)).sum() / np.square(v).sum()) for v in truth]

    assert max(missing(usual.path)) > 0.05  # the mask of the mean map
    assert max(missing(job.path)) < 0.005
