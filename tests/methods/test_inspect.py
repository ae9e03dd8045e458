"""`inspect` says what is in the files, and names what is wrong with them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway.inference import split_halves
from cryosway.methods._inputs.image_checks import judge_trials, try_hypotheses
from cryosway.methods._inputs.metadata_checks import check_metadata, measure_sampling, summarise
from cryosway.methods._inputs.pose_hypotheses import (
    GIVEN,
    SHUFFLED,
    Hypothesis,
    HypothesisTest,
    compare_scores,
)
from cryosway.optics import (
    CtfParams,
    compute_ctf,
    fft2_half,
    half_plane_frequencies,
    ifft2_half,
    random_rotations,
)
from cryosway.particles import Particles

TRPV1 = Path(__file__).parents[1] / "data" / "trpv1" / "trpv1_small_stack.star"
RADIUS = 11


def judge(particles, count=300):
    p = particles[:count]
    half = split_halves(len(p), p.half_sets, 0)
    test = HypothesisTest(p, min(RADIUS, p.box // 2 - 1), np.ones(len(p), np.int8), half, 0)
    checks = judge_trials(try_hypotheses(test, lambda: None, ctf=True))
    return {check["name"]: check for check in checks}


def bad(checks):
    return {name for name, check in checks.items() if check["verdict"] == "bad"}


@pytest.fixture(scope="module")
def particles(one_state):
    return cs.read_particles(one_state.particles)


def transpose(rotations):
    return rotations.transpose(0, 2, 1)


def test_right_conventions_are_confirmed(particles):
    checks = judge(particles)
    good = {name for name, check in checks.items() if check["verdict"] == "good"}
    assert bad(checks) == set()
    assert {"poses", "shift sign", "rotation direction", "shift axes", "shift unit"} <= good
    assert checks["poses"]["value"] > 3 * abs(checks["shift sign"]["value"])


@pytest.mark.parametrize(
    ("corrupt", "named", "words"),
    [
        (lambda p: (p.rotations, -p.shifts), "shift sign", "the shifts have the opposite sign"),
        (lambda p: (transpose(p.rotations), p.shifts), "rotation direction", "inverse of what"),
        (
            lambda p: (transpose(p.rotations), -p.shifts),
            "rotation direction and shift sign",
            "the rotations are the inverse, and the shifts have the opposite sign",
        ),
        (lambda p: (p.rotations, p.shifts[:, ::-1]), "shift axes", "x and y of the shifts"),
        (lambda p: (p.rotations, p.shifts / 4.5), "shift unit", "in pixels, not in Å"),
        (lambda p: (p.rotations, p.shifts * 4.5), "shift unit, other way", "once too often"),
        (
            lambda p: (p.rotations, np.random.default_rng(1).permutation(3 * p.shifts)),
            "shifts left out",
            "centred already",
        ),
    ],
)
def test_wrong_conventions_are_named(particles, corrupt, named, words):
    checks = judge(particles.with_poses(*corrupt(particles)))
    assert bad(checks) == {"poses", named}
    assert words in checks[named]["sentence"]


def test_poses_of_other_images_are_recognised(particles):
    rng = np.random.default_rng(0)
    strangers = particles.with_poses(random_rotations(600, rng), rng.permutation(particles.shifts))
    checks = judge(strangers)
    assert "poses" in bad(checks)
    assert "do not fit" in checks["poses"]["sentence"] or "shifts left out" in bad(checks)


def test_phase_flipped_images_are_named(one_state, rewrite):
    def flip(images, particles):
        ctf = compute_ctf(half_plane_frequencies(32), CtfParams.from_table(particles.ctf))
        transform = fft2_half(torch.from_numpy(images)) * torch.where(ctf < 0, -1.0, 1.0)
        return ifft2_half(transform).numpy()

    checks = judge(rewrite(one_state, flip))
    assert bad(checks) == {"phase flipping"}
    assert "phase-flipped already" in checks["phase flipping"]["sentence"]


def test_few_images_do_not_pretend(particles):
    noise = particles[:8].with_poses(
        random_rotations(8, np.random.default_rng(5)), np.zeros((8, 2))
    )
    checks = judge(noise)
    assert checks["poses"]["verdict"] == "unknown"
    assert "Too few images to tell" in checks["poses"]["sentence"]
    assert bad(checks) == set()


def test_ten_real_images_confirm_their_poses():
    """TRPV1 (EMPIAR-10005): even ten particles tell the right conventions from the wrong."""
    p = cs.read_particles(TRPV1)
    half = split_halves(10, p.half_sets, 0)
    test = HypothesisTest(p, 23, np.ones(10, np.int8), half, 0)
    given = test.score(GIVEN)
    shifts = test.score(Hypothesis("", "", shifts=lambda t, _: -t))
    rotations = test.score(Hypothesis("", "", rotations=lambda r, _: r.mT.contiguous()))
    assert given.mean() > 0.03
    assert compare_scores(given, test.score(SHUFFLED)).p_value < 0.01
    assert compare_scores(given, shifts).p_value < 0.001
    assert compare_scores(given, rotations).p_value < 0.01
    assert max(shifts.mean(), rotations.mean()) < 0.5 * given.mean()


def test_scores_without_signal_are_zero(particles, one_state, rewrite):
    """No image has helped to make the map that it meets, so noise fits nothing."""
    rng = np.random.default_rng(2)
    p = rewrite(one_state, lambda images, _: rng.normal(size=images.shape))
    for part in (p, p[:30]):
        half = split_halves(len(part), part.half_sets, 0)
        scores = HypothesisTest(part, RADIUS, np.ones(len(part), np.int8), half, 0).score(GIVEN)
        error = scores.std() / np.sqrt(len(scores))
        assert abs(scores.mean()) < 4 * error
        assert scores.std() < 0.1


@pytest.fixture(scope="module")
def job(one_state, tmp_path_factory):
    return cs.inspect(one_state.particles, tmp_path_factory.mktemp("job") / "look", images=200)


def test_job_tells_and_shows(job):
    found = json.loads((job.path / "inspect.json").read_text())
    verdicts = {check["name"]: check["verdict"] for check in found["checks"]}
    assert "bad" not in verdicts.values()
    assert verdicts["contrast"] == verdicts["poses"] == verdicts["views"] == "good"
    assert (found["particles"], len(found["optics_groups"])) == (600, 1)
    assert found["hypotheses"][0]["name"] == "as given"
    assert len(job.particles) == 600
    assert job.status == "finished" and (job.path / "report.html").stat().st_size > 10_000
    pictures = {path.stem for path in (job.path / "figures").iterdir()}
    assert {"views", "defocus", "shifts", "noise", "consensus"} <= pictures


def test_quick_map_is_the_molecule(job, true_map):
    assert job.volume().shape == (32, 32, 32)
    assert cs.fsc(job.volume(), true_map)[1:8].min() > 0.8
    assert job.info["resolution_angstrom"] < 15


def test_report_is_made_again_if_it_is_gone(job, one_state):
    (job.path / "report.html").unlink()
    cs.inspect(one_state.particles, job.path, images=200)
    assert (job.path / "report.html").exists()


def test_files_without_poses(one_state, tmp_path):
    p = cs.read_particles(one_state.particles)
    p = Particles(replace(p.records, rotations=None, shifts=None))
    job = cs.inspect(p, tmp_path / "look")
    checks = {c["name"]: c for c in json.loads((job.path / "inspect.json").read_text())["checks"]}
    assert checks["images"]["verdict"] == "unknown"
    assert "no poses" in checks["images"]["sentence"]
    assert not (job.path / "volumes").exists()


def change_ctf(particles, **columns):
    return particles.with_ctf(particles.ctf.assign(**columns))


@pytest.mark.parametrize(
    ("columns", "named", "words"),
    [
        ({"voltage": 300_000.0}, "optics", "voltage 300000 kV"),
        ({"cs": 2.7e7}, "optics", "Are the units right?"),
        ({"amplitude_contrast": 10.0}, "optics", "amplitude contrast 10"),
        ({"defocus_u": 1.5, "defocus_v": 1.4}, "defocus", "is it in µm or nm"),
        ({"defocus_u": -15000.0, "defocus_v": -15000.0}, "defocus", "overfocus"),
        ({"defocus_u": 1.5e7, "defocus_v": 1.5e7}, "defocus", "is its unit Å?"),
    ],
)
def test_impossible_optics_are_named(particles, columns, named, words):
    checks = {c["name"]: c for c in check_metadata(change_ctf(particles, **columns))}
    assert bad(checks) == {named}
    assert words in checks[named]["sentence"]


def test_shifts_out_of_the_box(particles):
    far = particles.with_poses(particles.rotations, particles.shifts + 50)
    checks = {c["name"]: c for c in check_metadata(far)}
    assert bad(checks) == {"shifts"}
    assert "100 % of the particles lie more than a quarter" in checks["shifts"]["sentence"]


def test_sampling_of_fourier_space(particles):
    rng = np.random.default_rng(0)
    assert measure_sampling(random_rotations(20_000, rng)) > 0.8
    tilts = np.zeros((500, 3, 3))
    tilts[:, 2, 2] = 1  # all views along z: the z axis is never sampled
    assert measure_sampling(tilts) == 0
    rotations = np.repeat(np.eye(3)[None], 600, 0)
    checks = {
        c["name"]: c for c in check_metadata(particles.with_poses(rotations, particles.shifts))
    }
    assert checks["views"]["verdict"] == "bad"


def test_summary_counts(particles):
    summary = summarise(particles)
    assert (summary["particles"], summary["stacks"]) == (600, 1)
    assert sum(summary["half_sets"].values()) == 600
    length = np.hypot(*particles.shifts.T)
    assert summary["shift_angstrom"]["median"] == pytest.approx(np.median(length))
    assert summary["optics_groups"][0]["pixel_size"] == pytest.approx(4.5)
