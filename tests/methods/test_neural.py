"""Neural reconstruction finds the states, goes on where it stopped, and says what it cannot do."""

import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.engine import JobFolder, TimeLimitError, load_tensors, read_json
from cryosway.methods._neural import judgement as neural_judgement_module
from cryosway.methods._neural.comparison import compare_models, describe_held_out
from cryosway.methods._neural.judgement import Judgement
from cryosway.methods._neural.landscapes import measure_shared
from cryosway.optics import rotation_angle
from cryosway.particles import read_map
from cryosway.validate import fsc

QUICK = {"width": 32, "layers": 2, "latent_dim": 2, "precision": "float32", "loader_threads": 0}
ENCODER = {"encoder_width": 64, "encoder_layers": 1}


def correlate(a, b, where):
    return float(np.corrcoef(a[where], b[where])[0, 1])


def separation(latents, states):
    """Share of particles on the right side of the line that a linear discriminant finds."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis().fit(latents, states).score(latents, states)


@pytest.fixture(scope="module")
def linear_job(two_states, tmp_path_factory):
    out = tmp_path_factory.mktemp("linear") / "job"
    return cs.linear(two_states.particles, out, null_tests=0, components=2)


@pytest.fixture(scope="module")
def vae_job(two_states, linear_job, tmp_path_factory):
    out = tmp_path_factory.mktemp("vae") / "job"
    return cs.vae(
        two_states.particles, out, linear=linear_job.path, epochs=3, held_out=0.1,
        **QUICK, **ENCODER,
    )  # fmt: skip


class TestVae:
    def test_latents_tell_the_states_apart(self, vae_job, two_states):
        states = two_states.truth()["state"].to_numpy()
        assert separation(vae_job.latents, states) > 0.95
        assert vae_job.latent_sd.shape == (600, 2)
        assert (vae_job.latent_sd[:, 0] < 0.9).all()

    def test_maps_at_the_latents_are_those_of_the_states(self, vae_job, two_states):
        """Each state's map resembles its own truth more than the other's, beyond the mean's."""
        states = two_states.truth()["state"].to_numpy()
        truths = [read_map(path)[0] for path in two_states.volumes]
        mean = vae_job.latents.mean(0)
        base = vae_job.volume(mean)
        for state in (0, 1):
            moved = vae_job.volume(vae_job.latents[states == state].mean(0)) - base
            expected = truths[state] - (truths[0] + truths[1]) / 2
            assert correlate(moved, expected, np.abs(expected) > 0.1 * expected.max()) > 0.6

    def test_held_out_particles_are_judged(self, vae_job):
        held = vae_job.info["held_out"]
        assert 2 * held["particles"] == vae_job.particles["held_out"].sum() == 60
        assert np.isfinite([held["network"], held["linear"], held["difference"]]).all()
        # The bound of a network that starts as the linear model is near its exact evidence.
        assert abs(held["difference"]) < 1.0
        assert held["better"] in ("network", "linear", "undecided")

    def test_half_maps_are_of_the_particles_around(self, vae_job, two_states):
        z = vae_job.latents[0]
        first, second = vae_job.half_maps(z)
        truth = read_map(two_states.volumes[int(two_states.truth()["state"][0])])[0]
        assert first.shape == (32, 32, 32)
        assert not np.allclose(first, second)
        assert fsc(first, truth)[2] > 0.8
        assert vae_job.fsc(z)[2] > 0.8

    def test_files_are_complete(self, vae_job):
        described = read_json(vae_job.path / "model.json")
        assert described["volume"] == "NeuralVolume"
        assert {"kind", "file"} <= set(vae_job.volumes[0])
        assert {e["kind"] for e in vae_job.volumes} >= {"mean", "mask", "half", "state"}
        losses = pd.read_csv(vae_job.path / "metrics.csv")
        assert losses["epoch"].tolist()[-1] == 3
        assert {"loss", "misfit", "kl"} <= set(losses.columns)

    def test_loss_falls_below_that_of_noise_plus_mean(self, vae_job):
        losses = pd.read_csv(vae_job.path / "metrics.csv").query("over == 'epoch'")
        assert losses["misfit"].iloc[-1] == pytest.approx(1.0, abs=0.05)

    def test_reopened_job_decodes_alike(self, vae_job):
        again = cs.open_job(vae_job.path)
        np.testing.assert_array_equal(
            again.volume(vae_job.latents[3]), vae_job.volume(vae_job.latents[3])
        )


@pytest.mark.parametrize("domain", ["fourier", "hartley", "anchored"])
def test_network_alone_learns_the_mean_map(one_state, tmp_path, domain):
    """From nothing, each domain finds the map; with the hand and axes of the truth."""
    job = cs.vae(
        one_state.particles, tmp_path / "job", start="random", epochs=5, domain=domain,
        learning_rate=3e-3, **{**QUICK, **ENCODER, "width": 64},
    )  # fmt: skip
    truth = read_map(one_state.volumes[0])[0]
    found = job.volume(job.latents.mean(0))
    curve = fsc(found, truth)
    assert curve[1:6].mean() > 0.8
    assert fsc(found[::-1], truth)[1:6].mean() < curve[1:6].mean() - 0.1


def test_convolutional_encoder(two_states, linear_job, tmp_path):
    job = cs.vae(
        two_states.particles, tmp_path / "job", linear=linear_job.path, epochs=1,
        encoder="conv", correction="flip", **QUICK, **ENCODER,
    )  # fmt: skip
    assert separation(job.latents, two_states.truth()["state"].to_numpy()) > 0.9


class TestAutodecoder:
    def test_latents_are_found_from_the_mean_alone(self, two_states, tmp_path):
        """Without an encoder or linear latents, the table finds the two states by itself."""
        job = cs.autodecoder(
            two_states.particles, tmp_path / "job", start="mean", epochs=30, latent_rate=100.0,
            learning_rate=1e-3, **{**QUICK, "latent_dim": 1, "width": 64},
        )  # fmt: skip
        states = two_states.truth()["state"].to_numpy()
        assert separation(job.latents, states) > 0.85

    def test_held_out_latents_are_learnt_with_the_network_fixed(
        self, two_states, linear_job, tmp_path
    ):
        job = cs.autodecoder(
            two_states.particles, tmp_path / "job", linear=linear_job.path, epochs=2, held_out=0.2,
            **QUICK,
        )  # fmt: skip
        held = job.particles["held_out"].to_numpy()
        states = two_states.truth()["state"].to_numpy()
        assert separation(job.latents[held], states[held]) > 0.9
        assert job.info["held_out"]["particles"] == 60


def test_disturbed_poses_are_refined(make_set, tmp_path):
    """Rotations off by 8° and shifts by 1 px come nearer to the truth, and are written."""
    rng = np.random.default_rng(0)
    p = cs.read_particles(make_set(n=300, snr=1.0).particles)
    turns = Rotation.from_rotvec(rng.normal(0, np.radians(8) / np.sqrt(3), (len(p), 3)))
    shifts = p.shifts + rng.normal(0, 0.7 * p.pixel_size, (len(p), 2))
    disturbed = p.with_poses(turns.as_matrix() @ p.rotations, shifts)
    job = cs.autodecoder(
        disturbed, tmp_path / "job", start="mean", refine_poses=True, pose_warmup=0, epochs=20,
        pose_rate=100.0, learning_rate=1e-3, **{**QUICK, "latent_dim": 1},
    )  # fmt: skip
    refined = cs.read_particles(job.path / "particles.star")
    before = rotation_angle(disturbed.rotations, p.rotations).mean()
    after = rotation_angle(refined.rotations, p.rotations).mean()
    assert after < 0.9 * before
    off = [np.linalg.norm(q.shifts - p.shifts, axis=1).mean() for q in (disturbed, refined)]
    assert off[1] < 0.8 * off[0]


def test_latents_do_not_depend_on_how_many_are_inferred_at_once(
    two_states, vae_job, tmp_path, monkeypatch
):
    p = cs.read_particles(two_states.particles)[:50]
    whole = cs.encode(p, tmp_path / "whole", job=vae_job.path)
    monkeypatch.setattr(neural_judgement_module, "_CPU_POINTS", 7 * 400)
    parts = cs.encode(p, tmp_path / "parts", job=vae_job.path)
    np.testing.assert_allclose(parts.latents, whole.latents, atol=1e-4)
    columns = ["index", "contrast", "log_likelihood"]
    pd.testing.assert_frame_equal(parts.particles[columns], whole.particles[columns], rtol=1e-4)


class TestPosesOfTheLinearJob:
    """Networks are trained on the poses that linear has corrected, and say so."""

    SETTINGS = {"epochs": 1, "held_out": 0.1, **QUICK, **ENCODER}  # noqa: RUF012

    @pytest.fixture
    def disturbed(self, two_states):
        p = cs.read_particles(two_states.particles)
        rng = np.random.default_rng(0)
        turns = Rotation.from_rotvec(rng.normal(0, np.radians(5), (len(p), 3))).as_matrix()
        return p.with_poses(p.rotations @ turns, p.shifts + rng.normal(0, 6.0, (len(p), 2)))

    @pytest.fixture
    def corrected(self, disturbed, linear_job, tmp_path):
        """A linear job that says to have been given disturbed poses, and holds the true ones."""
        copy = tmp_path / "linear"
        shutil.copytree(linear_job.path, copy)
        info = read_json(copy / "job.json")
        info["inputs"]["particles"] = disturbed.fingerprint()
        (copy / "job.json").write_text(json.dumps(info))
        return copy

    def test_corrected_poses_give_what_true_ones_give(
        self, disturbed, corrected, two_states, linear_job, tmp_path
    ):
        straight = cs.vae(
            two_states.particles, tmp_path / "straight", linear=linear_job.path, **self.SETTINGS
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            job = cs.vae(disturbed, tmp_path / "job", linear=corrected, **self.SETTINGS)
        np.testing.assert_allclose(job.latents, straight.latents, atol=1e-3)
        for name in ("network", "linear"):
            assert job.info["held_out"][name] == pytest.approx(
                straight.info["held_out"][name], rel=1e-4
            )
        written = cs.read_particles(job.path / "particles.star")
        true = cs.read_particles(two_states.particles)
        assert rotation_angle(written.rotations, true.rotations).max() < 0.01
        assert np.abs(written.shifts - true.shifts).max() < 0.01
        (told,) = [d for d in read_json(job.path / "decisions.json") if "poses" in d["what"]]
        assert "linear has corrected them" in told["why"]
        assert "poses" not in (straight.path / "decisions.json").read_text()

    def test_what_linear_corrects_reaches_the_network(self, make_set, tmp_path):
        """End to end: linear measures the errors of poses, the network is trained without them."""
        true = cs.read_particles(make_set(n=300, snr=1.0).particles)
        rng = np.random.default_rng(1)
        moved = true.with_poses(true.rotations, true.shifts + rng.normal(0, 4.0, (300, 2)))
        fitted = cs.linear(moved, tmp_path / "linear", null_tests=0, components=1)
        job = cs.vae(moved, tmp_path / "job", linear=fitted.path, **self.SETTINGS)
        columns = ["rot", "tilt", "psi", "shift_x", "shift_y"]
        pd.testing.assert_frame_equal(job.particles[columns], fitted.particles[columns])
        off = [np.abs(cs.read_particles(job.path / "particles.star").shifts - true.shifts).mean(),
               np.abs(moved.shifts - true.shifts).mean()]  # fmt: skip
        assert off[0] < 0.8 * off[1]

    def test_other_starts_keep_the_poses_given(self, disturbed, corrected, tmp_path):
        settings = {**self.SETTINGS, "start": "mean", "linear": corrected}
        job = cs.vae(disturbed, tmp_path / "job", **settings)
        written = cs.read_particles(job.path / "particles.star")
        assert rotation_angle(written.rotations, disturbed.rotations).max() < 0.01

    def test_poses_that_linear_never_saw_are_warned_of(self, disturbed, linear_job, tmp_path):
        with pytest.warns(CryoswayWarning, match="leave --linear out to train on those given"):
            cs.vae(disturbed, tmp_path / "job", linear=linear_job.path, **self.SETTINGS)


class TestGoingOn:
    def settings(self, linear_job):
        return {"linear": linear_job.path, "epochs": 2, **QUICK, **ENCODER}

    def test_a_stopped_run_ends_as_one_that_was_not(self, two_states, linear_job, tmp_path):
        settings = self.settings(linear_job)
        straight = cs.vae(two_states.particles, tmp_path / "straight", **settings)
        with pytest.raises(TimeLimitError):
            cs.vae(two_states.particles, tmp_path / "stopped", time_limit=1e-4, **settings)
        assert cs.open_job(tmp_path / "stopped").status == "interrupted"
        resumed = cs.vae(two_states.particles, tmp_path / "stopped", **settings)
        np.testing.assert_allclose(resumed.latents, straight.latents, rtol=1e-5, atol=1e-6)
        ours, theirs = (
            load_tensors(job.path / "model.safetensors")[0] for job in (resumed, straight)
        )
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-6, err_msg=name)

    def test_two_processes_find_what_one_does(self, two_states, linear_job, tmp_path):
        settings = self.settings(linear_job)
        alone = cs.vae(two_states.particles, tmp_path / "alone", **settings)
        script = tmp_path / "share.py"
        given = {**settings, "linear": str(linear_job.path), "device": "cpu", "threads": 1}
        script.write_text(
            "import json, sys, cryosway as cs\n"
            "cs.vae(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))\n"
        )
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            str(script), str(two_states.particles), str(tmp_path / "shared"), json.dumps(given),
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        shared = cs.open_job(tmp_path / "shared")
        assert shared.status == "finished"
        # Noise of the latents is drawn per process: the answer is the same but for that.
        for column in range(2):
            agreement = np.corrcoef(shared.latents[:, column], alone.latents[:, column])[0, 1]
            assert agreement > 0.99


class TestMistakes:
    def test_a_job_that_is_not_linear(self, two_states, vae_job, tmp_path):
        with pytest.raises(CryoswayError, match="is a job of vae, not of linear"):
            cs.vae(two_states.particles, tmp_path / "job", linear=vae_job.path, **QUICK)

    def test_a_linear_job_of_other_particles(self, one_state, linear_job, tmp_path):
        p = cs.read_particles(one_state.particles)[:500]
        with pytest.raises(CryoswayError, match="of other particles"):
            cs.vae(p, tmp_path / "job", linear=linear_job.path, **QUICK)

    def test_a_folder_that_is_no_job(self, two_states, tmp_path):
        with pytest.raises(CryoswayError, match="nowhere"):
            cs.vae(two_states.particles, tmp_path / "job", linear=tmp_path / "nowhere", **QUICK)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"latent_dim": 0}, "latent_dim"),
            ({"domain": "complex"}, "domain"),
            ({"learning_rate": -1}, "learning_rate"),
            ({"epoch": 3}, "did you mean 'epochs'"),
        ],
    )
    def test_options(self, two_states, tmp_path, options, message):
        with pytest.raises(CryoswayError, match=message):
            cs.vae(two_states.particles, tmp_path / "job", **options)


def test_the_same_seed_gives_the_same_answer(two_states, linear_job, tmp_path):
    settings = {"linear": linear_job.path, "epochs": 1, **QUICK, **ENCODER}
    first, second, other = (
        cs.vae(two_states.particles, tmp_path / str(n), seed=seed, **settings).latents
        for n, seed in enumerate((3, 3, 4))
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-6


class TestEncode:
    def test_new_particles_get_latents_like_those_of_the_training(
        self, vae_job, make_set, two_states, tmp_path
    ):
        """Other images of the same states: same latents per state; and maps as in the training."""
        other = make_set(2, n=200, seed=7)
        job = cs.encode(other.particles, tmp_path / "job", job=vae_job.path)
        old = two_states.truth()["state"].to_numpy()
        new = other.truth()["state"].to_numpy()
        assert separation(job.latents, new) > 0.95
        for state in (0, 1):
            shift = job.latents[new == state].mean(0) - vae_job.latents[old == state].mean(0)
            assert np.abs(shift[0]) < 0.2
        np.testing.assert_array_equal(
            job.volume(vae_job.latents[0]), vae_job.volume(vae_job.latents[0])
        )

    def test_the_training_set_gets_its_own_latents(self, vae_job, two_states, tmp_path):
        p = cs.read_particles(two_states.particles)[:100]
        job = cs.encode(p, tmp_path / "job", job=vae_job.path)
        for column in range(2):
            pair = job.latents[:, column], vae_job.latents[:100, column]
            assert np.corrcoef(*pair)[0, 1] > 0.99

    def test_particles_that_do_not_fit(self, vae_job, make_set, tmp_path):
        small = make_set(n=20, box=24, pixel_size=6.0)
        with pytest.raises(CryoswayError, match=r"trained on 32 px of 4\.5 Å: run"):
            cs.encode(small.particles, tmp_path / "job", job=vae_job.path)

    def test_a_job_without_encoder(self, linear_job, two_states, tmp_path):
        with pytest.raises(CryoswayError, match="is a job of linear, which has no encoder"):
            cs.encode(two_states.particles, tmp_path / "job", job=linear_job.path)


class TestComparison:
    def test_report_sets_network_and_linear_model_side_by_side(self, vae_job, linear_job, tmp_path):
        with JobFolder.start(tmp_path / "comparison", "comparison", {}, {}) as job:
            compare_models(job, linear_job, vae_job)
        told = read_json(tmp_path / "comparison" / "supplement.json")
        assert len(told["rows"]) == 5
        assert sum(int(row[1]) for row in told["rows"]) == 600
        assert "30 particles that the network was not trained on" in told["sentences"][0]
        assert (tmp_path / "comparison" / "figures" / "models.png").stat().st_size > 10_000

    def test_landscapes_are_shown_side_by_side(self, vae_job, linear_job, tmp_path):
        jobs = []
        for job in (linear_job, vae_job):
            copy = shutil.copytree(job.path, tmp_path / str(len(jobs)))
            jobs.append(cs.landscape(copy, clusters=2, directions=1, path_points=3, umap=False))
        with JobFolder.start(tmp_path / "comparison", "comparison", {}, {}) as job:
            compare_models(job, *jobs)
        told = read_json(tmp_path / "comparison" / "supplement.json")
        names = [entry["file"] for entry in told["figures"]]
        assert names == [f"figures/{name}.png" for name in ("models", "landscapes", "directions")]
        for name in names:
            assert (tmp_path / "comparison" / name).stat().st_size > 10_000
        assert "% follows linearly from those of the linear model" in told["sentences"][1]

    def test_what_two_sets_of_latents_share(self):
        rng = np.random.default_rng(0)
        known, other = rng.normal(size=(2, 4000, 2))
        assert measure_shared(known, known @ [[1.0, 2.0], [0.5, -1.0]] + 3.0) == pytest.approx(1.0)
        assert measure_shared(known, other) == pytest.approx(0.0, abs=0.01)
        assert measure_shared(known, known + other) == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize(
        ("gain", "better", "words"),
        [
            (5.0, "network", "The network describes the data better"),
            (-5.0, "linear", "The linear model describes the data better"),
            (0.1, "undecided", "equally well"),
        ],
    )
    def test_verdict_needs_three_standard_errors(self, gain, better, words):
        described = Judgement(50, -10.0 + gain, -10.0, gain, 0.5).describe()
        assert described["better"] == better
        assert words in describe_held_out(described)
