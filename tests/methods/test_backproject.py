"""`backproject` gives the map that the images show, and says truly how good it is."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway import CryoswayError
from cryosway.inference import ImageSource
from cryosway.optics import random_rotations
from cryosway.particles import Particles, read_map, write_map
from cryosway.validate import low_pass, make_solvent_mask

TRPV1 = Path(__file__).parents[1] / "data" / "trpv1" / "trpv1_small_stack.star"
PIXEL_SIZE = 4.5


def read_volume(job, name):
    return read_map(job.path / "volumes" / f"{name}.mrc")[0]


def read_decisions(job):
    return {d["what"]: d for d in json.loads((job.path / "decisions.json").read_text())}


def correlate(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.fixture(scope="module")
def job(one_state, tmp_path_factory):
    return cs.backproject(one_state.particles, tmp_path_factory.mktemp("job") / "bp")


def test_map_is_the_truth_on_its_scale(job, true_map):
    mask = read_volume(job, "mask")
    curve = cs.fsc(job.volume(), true_map * mask)
    assert curve[:12].min() > 0.98 and curve.min() > 0.8
    ratio = float((job.volume() * true_map).sum() / (mask * true_map * true_map).sum())
    assert 0.6 < ratio < 1.05  # the envelope of the images is not in the truth's scale
    assert (job.box, job.pixel_size) == (32, PIXEL_SIZE)
    assert correlate(read_volume(job, "unmasked") * mask, true_map) > 0.9


def test_resolution_and_fsc_are_told(job, true_map):
    assert job.info["resolution_angstrom"] == pytest.approx(2 * PIXEL_SIZE, rel=0.05)
    entry = next(v for v in job.volumes if v["kind"] == "mean")
    assert entry["half_maps"] == ["half1.mrc", "half2.mrc"] and entry["n_effective"] == 600
    curves = json.loads((job.path / "curves.json").read_text())["fsc"]
    assert [curve["label"] for curve in curves] == [
        "masked, corrected",
        "masked",
        "unmasked",
        "masked, phases randomised",
    ]
    frequency = np.array(curves[0]["frequency_per_angstrom"])
    np.testing.assert_allclose(frequency, np.arange(16) / (32 * PIXEL_SIZE))
    # Two half-maps agree as 2 FSC / (1 + FSC) = square of the correlation with the truth foretells.
    expected = np.sqrt(2 * job.fsc() / (1 + job.fsc()))
    found = cs.fsc(job.volume(), true_map * read_volume(job, "mask"))
    np.testing.assert_allclose(found[1:], expected[1:], atol=0.08)


def test_noise_level(job):
    spectrum = json.loads((job.path / "curves.json").read_text())["noise"][0]
    power = np.array(spectrum["power"])
    assert np.average(power[1:], weights=np.arange(1, len(power))) == pytest.approx(1.0, abs=0.02)


def test_files_and_table(job, one_state):
    names = {path.name for path in (job.path / "volumes").iterdir()}
    maps = {"mean", "unmasked", "half1", "half2", "mask", "local_resolution"}
    assert names == {f"{name}.mrc" for name in maps} | {"volumes.json"}
    for name in maps:
        with mrcfile.open(job.path / "volumes" / f"{name}.mrc") as file:
            assert file.voxel_size.x == pytest.approx(PIXEL_SIZE)
    table = job.particles
    p = cs.read_particles(one_state.particles)
    np.testing.assert_allclose(table[["shift_x", "shift_y"]], p.shifts, atol=1e-6)
    np.testing.assert_allclose(table["defocus_u"], p.ctf["defocus_u"])
    assert abs((table["half"] == 1).sum() - 300) <= 1 and set(table["half"]) == {1, 2}
    assert not (job.path / "checkpoints" / "accumulators.safetensors").exists()


def test_local_resolution_is_finer_in_the_molecule(job):
    local, mask = read_volume(job, "local_resolution"), read_volume(job, "mask")
    assert np.median(local[mask > 0.9]) < 12 < np.median(local[mask < 0.01])


def test_half_map_knows_nothing_of_the_other_half(job, one_state, rewrite, tmp_path):
    half = job.particles["half"].to_numpy()

    def spoil(images, _):
        images[half == 2] = np.random.default_rng(0).normal(size=images[half == 2].shape)
        return images

    spoilt = cs.backproject(rewrite(one_state, spoil), tmp_path / "bp", local_resolution=False)
    assert (spoilt.particles["half"] == half).all()
    assert correlate(read_volume(spoilt, "half1"), read_volume(job, "half1")) > 0.999
    assert abs(correlate(read_volume(spoilt, "half2"), read_volume(job, "half2"))) < 0.2


def test_half_maps_of_noise_do_not_agree(one_state, rewrite, tmp_path):
    rng = np.random.default_rng(3)
    p = rewrite(one_state, lambda images, _: rng.normal(size=images.shape))
    with pytest.warns(cs.CryoswayWarning, match="not to be told"):
        job = cs.backproject(p, tmp_path / "bp", local_resolution=False)
    curves = json.loads((job.path / "curves.json").read_text())["fsc"]
    unmasked = np.array(next(c["value"] for c in curves if c["label"] == "unmasked"))
    assert np.abs(unmasked[4:]).mean() < 0.1
    assert job.info["resolution_angstrom"] > 25
    assert read_decisions(job)["contrast"]["value"] == "unknown"


def test_dark_protein_is_detected(job, one_state, rewrite, tmp_path, true_map):
    p = rewrite(one_state, lambda images, _: -images)
    dark = cs.backproject(p, tmp_path / "dark", local_resolution=False)
    assert read_decisions(dark)["contrast"]["value"] == "dark"
    assert read_decisions(job)["contrast"]["value"] == "white"
    np.testing.assert_allclose(dark.volume(), job.volume(), atol=1e-5)
    wrong = cs.backproject(p, tmp_path / "wrong", contrast="white", local_resolution=False)
    assert correlate(read_volume(wrong, "unmasked"), true_map) < -0.8


def test_weights_select_a_state(two_states, tmp_path):
    state = two_states.truth()["state"].to_numpy()
    closed, opened = (read_map(path)[0] for path in two_states.volumes)
    job = cs.backproject(two_states.particles, tmp_path / "w", weights=1.0 * (state == 1))
    mean = cs.backproject(two_states.particles, tmp_path / "all", local_resolution=False)
    mask = read_volume(job, "mask")
    right, wrong, blurred = (
        cs.auc_fsc(cs.fsc(volume, truth * mask))
        for volume, truth in (
            (job.volume(), opened),
            (job.volume(), closed),
            (mean.volume() * mask, opened),
        )
    )
    assert right > blurred + 0.03 and right > wrong + 0.1
    table = job.particles
    assert (table["index"] == np.flatnonzero(state == 1)).all()
    assert table["weight"].unique() == [1.0]
    assert job.volumes[0]["kind"] == "half"
    entry = next(v for v in job.volumes if v["kind"] == "mean")
    assert entry["n_effective"] == (state == 1).sum()


def test_weighted_equals_selected(one_state, tmp_path):
    p = cs.read_particles(one_state.particles)
    chosen = np.arange(0, 600, 3)
    selected = cs.backproject(p[chosen], tmp_path / "a", local_resolution=False)
    table = pd.DataFrame({"index": chosen, "weight": 7.0})
    table.to_csv(tmp_path / "weights.csv", index=False)
    weighted = cs.backproject(
        p, tmp_path / "b", weights=tmp_path / "weights.csv", local_resolution=False
    )
    a, b = read_volume(selected, "unmasked"), read_volume(weighted, "unmasked")
    assert correlate(a, b) > 0.99999
    again = cs.backproject(p, tmp_path / "c", weights=np.isin(np.arange(600), chosen))
    np.testing.assert_allclose(read_volume(again, "unmasked"), b, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), "600 particles, but weights of shape"),
        (-np.ones(600), "particle 1 has weight -1.0"),
        (np.full(600, np.nan), "particle 1 has weight nan"),
        (np.zeros(600), "fewer than two particles"),
        ("nothing.csv", r"nothing\.csv holds no weights that can be read"),
        ("weights.xls", "weights are read from"),
    ],
)
def test_weights_that_do_not_fit(one_state, tmp_path, weights, message):
    with pytest.raises(CryoswayError, match=message):
        cs.backproject(one_state.particles, tmp_path / "bp", weights=weights)


def test_mask_of_the_user(one_state, tmp_path):
    mask = np.zeros((32, 32, 32), np.float32)
    mask[8:24, 8:24, 8:24] = 1
    write_map(tmp_path / "mask.mrc", mask, PIXEL_SIZE)
    job = cs.backproject(one_state.particles, tmp_path / "a", mask=tmp_path / "mask.mrc")
    assert np.abs(job.volume()[mask == 0]).max() == 0 < np.abs(job.volume()[mask == 1]).max()
    assert read_decisions(job)["mask"]["value"] == "12.5 % of the box"
    none = cs.backproject(one_state.particles, tmp_path / "b", mask="none", local_resolution=False)
    assert np.abs(none.volume()[mask == 0]).max() > 0
    assert none.info["resolution_angstrom"] >= job.info["resolution_angstrom"]


@pytest.mark.parametrize(
    ("shape", "pixel_size", "value", "message"),
    [
        ((24, 24, 24), PIXEL_SIZE, 1, "has 24 × 24 × 24 voxels, but the maps have 32 voxels"),
        ((32, 32, 32), 1.0, 1, "has voxels of 1 Å, but the maps have 32 voxels of 4.5 Å"),
        ((32, 32, 32), PIXEL_SIZE, 5, "a mask has 0 to 1"),
        ((32, 32, 32), PIXEL_SIZE, 0, "is empty"),
    ],
)
def test_mask_that_does_not_fit(one_state, tmp_path, shape, pixel_size, value, message):
    write_map(tmp_path / "mask.mrc", np.full(shape, value, np.float32), pixel_size)
    with pytest.raises(CryoswayError, match=message):
        cs.backproject(one_state.particles, tmp_path / "a", mask=tmp_path / "mask.mrc")


def test_data_finer_than_asked_are_left_out(one_state, tmp_path):
    job = cs.backproject(one_state.particles, tmp_path / "a", max_resolution=18.0)
    power = np.abs(np.fft.fftn(read_volume(job, "unmasked"))) ** 2
    k = np.fft.fftfreq(32, 1 / 32)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    assert power[radius > 10].mean() < 0.01 * power[(radius > 6) & (radius < 8)].mean()
    assert job.info["resolution_angstrom"] >= 144 / 9
    assert job.box == 32


def test_half_sets_of_the_files_are_kept(tmp_path):
    job = cs.backproject(TRPV1, tmp_path / "bp", local_resolution=False)
    assert (job.particles["half"] == cs.read_particles(TRPV1).half_sets).all()
    assert "as the files say" in read_decisions(job)["half-sets"]["why"]


def test_ten_real_particles_show_their_consensus(tmp_path):
    """TRPV1: the map of ten particles resembles the published one, less so if read wrongly."""
    p = cs.read_particles(TRPV1)
    published, info = read_map(TRPV1.with_name("trpv1_volume.mrc.gz"))
    inside = make_solvent_mask(published, info.pixel_size) > 0.5
    target = low_pass(published, info.pixel_size, 20.0)[inside]
    transposed = p.rotations.transpose(0, 2, 1)
    strangers = random_rotations(10, np.random.default_rng(0))
    found = []
    for number, poses in enumerate(
        [(p.rotations, p.shifts), (p.rotations, -p.shifts), (transposed, p.shifts),
         (strangers, p.shifts)]
    ):  # fmt: skip
        job = cs.backproject(p.with_poses(*poses), tmp_path / str(number), local_resolution=False)
        density = low_pass(read_volume(job, "unmasked"), info.pixel_size, 20.0)
        found.append(correlate(density[inside], target))
    right, flipped, inverse, random = found
    assert right > 0.5
    assert flipped < 0.2 and inverse < right - 0.03 and random < right - 0.1


def test_half_sets_follow_from_the_seed(one_state, tmp_path):
    p = cs.read_particles(one_state.particles)
    p = Particles(replace(p.records, half_sets=None))
    first, again, other = (
        cs.backproject(p, tmp_path / name, local_resolution=False, seed=seed)
        for name, seed in (("first", 4), ("again", 4), ("other", 5))
    )
    assert "at random" in read_decisions(first)["half-sets"]["why"]
    assert (first.particles["half"] == again.particles["half"]).all()
    assert 0.4 < (other.particles["half"] == first.particles["half"]).mean() < 0.6


def test_finished_job_stands_and_others_are_refused(job, one_state):
    before = (job.path / "job.json").stat().st_mtime_ns
    assert cs.backproject(one_state.particles, job.path).status == "finished"
    assert (job.path / "job.json").stat().st_mtime_ns == before
    with pytest.raises(CryoswayError, match="holds another job"):
        cs.backproject(one_state.particles, job.path, seed=9)


def test_mistakes_are_told(one_state, tmp_path):
    with pytest.raises(CryoswayError, match="did you mean 'mask'"):
        cs.backproject(one_state.particles, tmp_path / "a", maks="auto")
    with pytest.raises(CryoswayError, match="set of particles is empty"):
        cs.backproject(cs.read_particles(one_state.particles)[:0], tmp_path / "a")
    with pytest.raises(CryoswayError, match="needs at least one"):
        cs.backproject(cs.read_particles(one_state.particles)[:1], tmp_path / "a")


KILLED = """
import os, signal, sys
import cryosway as cs
import cryosway.inference._image_source as source
import cryosway.methods._backproject as bp

source.ImageSource._choose_batch = lambda self: 40
bp.AccumulatorKeeper.__init__.__defaults__ = (0.0,)  # save after each batch
bp._LARGEST_SHARE_OF_TIME = 1e9
save, saved = bp.JobFolder.save_checkpoint, 0

def save_and_die(self, *arguments):
    global saved
    save(self, *arguments)
    saved += 1
    if saved == 6:
        os.kill(os.getpid(), signal.SIGKILL)

bp.JobFolder.save_checkpoint = save_and_die
cs.backproject(sys.argv[1], sys.argv[2], threads=1)
"""


def test_killed_pass_resumes_to_the_same_answer(one_state, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageSource, "_choose_batch", lambda self: 40)
    job = cs.backproject(one_state.particles, tmp_path / "whole")
    words = [sys.executable, "-c", KILLED, str(one_state.particles), str(tmp_path / "killed")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert cs.open_job(tmp_path / "killed").status == "interrupted"
    resumed = cs.backproject(one_state.particles, tmp_path / "killed")
    assert "resumes after 240 images" in (tmp_path / "killed" / "log.txt").read_text()
    for name in ("mean", "half1", "half2", "mask", "unmasked", "local_resolution"):
        assert np.array_equal(read_volume(resumed, name), read_volume(job, name)), name
    pd.testing.assert_frame_equal(resumed.particles, job.particles)
