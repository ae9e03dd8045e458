"""Scores with known answers: the truth reaches the ceiling, what knows nothing reaches none."""

import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from cryosway import CryoswayError, bench_score
from cryosway.methods._bench import map_scores, truth_set
from cryosway.methods._bench import score as score_module
from cryosway.methods._bench.truth_set import read_truth_set
from cryosway.particles import read_map, write_map
from cryosway.simulate import adenylate_kinase_states, simulate
from cryosway.validate import VolumeAlignment, auc_fsc

BOX, PIXEL, STATES, COUNT = 24, 6.0, 4, 240
LIMIT = auc_fsc(np.ones(BOX // 2))


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return simulate(
        adenylate_kinase_states(STATES), tmp_path_factory.mktemp("truth") / "kinase",
        n=COUNT, box=BOX, pixel_size=PIXEL, snr=1.0, resolution=12.0, threads=1,
        populations=[0.1, 0.2, 0.3, 0.4],
    )  # fmt: skip


@pytest.fixture(scope="module")
def states(truth):
    return truth.truth()["state"].to_numpy()


def fill(folder, truth, classes, move=lambda volume: volume, **rows):
    (folder / "volumes").mkdir(parents=True)
    np.save(folder / "classes.npy", classes)
    for name, values in rows.items():
        np.savetxt(folder / f"{name}.txt", values)
    for state, path in enumerate(truth.volumes):
        volume, info = read_map(path)
        write_map(folder / "volumes" / f"class_{state}.mrc", move(volume), info.pixel_size)
    return folder


def score(*arguments, **options):
    return bench_score(*arguments, threads=1, **options).info["score"]


def test_the_truth_scores_at_the_ceiling(truth, states, tmp_path):
    coordinate = states + 0.01 * np.random.default_rng(0).normal(size=COUNT)
    folder = fill(tmp_path / "best", truth, states, latents=coordinate)
    (folder / "result.json").write_text(json.dumps({"program": "oracle", "cpu_seconds": 3.0}))
    found = score(truth.path, folder, tmp_path / "score", scored=60)
    assert found["images"]["masked"] == pytest.approx(LIMIT, abs=1e-6)
    assert found["images"]["unmasked"] == pytest.approx(LIMIT, abs=1e-6)
    assert found["states"]["masked"] == pytest.approx(LIMIT, abs=1e-6)
    gain = found["over_consensus"]
    assert gain["difference"] > 5 * gain["standard_error"] > 0
    assert found["consensus"]["masked"] == pytest.approx(
        found["true_consensus"]["masked"], abs=0.02
    )
    assert found["populations"] == {
        "right": 1, "distance": 0, "total_variation": 0, "earth_mover": pytest.approx(0, abs=1e-9),
    }  # fmt: skip
    assert found["clusters"]["ari"] == 1
    best = found["true_latents"]["neighbourhood_similarity"]
    assert found["latents"]["neighbourhood_similarity"] == pytest.approx(best, abs=5)
    assert found["latents"]["state"][0] < 0.35 < 0.8 < found["latents"]["pose"][0]
    assert (found["program"], found["cpu_seconds"], found["scored"]) == ("oracle", 3.0, 60)
    page = (tmp_path / "score" / "report.html").read_text()
    assert "best on kinase" in page
    assert "maps of single images are better" in page


def test_a_shuffled_assignment_is_no_better_than_the_consensus(truth, states, tmp_path):
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(states)
    folder = fill(tmp_path / "chance", truth, shuffled, latents=rng.normal(size=(COUNT, 2)))
    found = score(truth.path, folder, tmp_path / "score", scored=COUNT)
    assert found["over_consensus"]["difference"] < 0
    assert abs(found["clusters"]["ari"]) < 0.05
    latents = found["latents"]
    assert latents["neighbourhood_similarity"] == pytest.approx(latents["chance"], abs=3)
    assert latents["state"][0] > 0.85
    # Populations are right although no image is: the same maps as often as they should be.
    assert found["populations"]["total_variation"] == pytest.approx(0, abs=1e-9)
    assert found["populations"]["right"] == pytest.approx(np.mean(states == shuffled))
    # Maps that are the consensus for every image score as the consensus does.
    mean = np.mean([read_map(truth.volumes[s])[0] for s in states], axis=0)
    same = fill(tmp_path / "same", truth, states, lambda _: mean)
    found = score(truth.path, same, tmp_path / "score2", scored=40)
    assert found["over_consensus"]["difference"] == pytest.approx(0, abs=1e-5)
    assert found["images"]["masked"] == pytest.approx(found["true_consensus"]["masked"], abs=1e-4)


def test_another_frame_is_found(truth, states, tmp_path):
    turn = Rotation.from_rotvec([1.1, -0.6, 2.0]).as_matrix()
    other = VolumeAlignment(turn, np.array([0.05, -0.03, 0.08]), mirrored=True, correlation=1.0)
    folder = fill(tmp_path / "turned", truth, states, other.apply)
    lost = score(truth.path, folder, tmp_path / "lost", scored=12)
    found = score(truth.path, folder, tmp_path / "found", scored=12, align="frame")
    assert lost["images"]["masked"] < 0.6 * LIMIT
    assert found["images"]["masked"] > 0.95 * LIMIT
    assert found["frame"]["mirrored"]
    assert found["populations"]["right"] == 1


def test_cryobench_folders_are_read_as_they_are(truth, states, tmp_path):
    """The images are sorted by state, labels and poses are pickles, maps lie in vols/128_org."""
    table, folder = truth.truth(), tmp_path / "IgG-1D"
    (folder / "vols" / "128_org").mkdir(parents=True)
    for state, path in enumerate(truth.volumes):
        shutil.copy(path, folder / "vols" / "128_org" / f"{state + 8}.mrc")  # 8, 9, 10, 11
    rotations = np.broadcast_to(np.eye(3), (COUNT, 3, 3)).copy()
    ctf = np.column_stack([np.full(COUNT, BOX), np.full(COUNT, PIXEL), table["defocus_u"],
                           table["defocus_v"], np.zeros((COUNT, 5))])  # fmt: skip
    for name, content in (
        ("combined_poses", (rotations, np.zeros((COUNT, 2)))),
        ("combined_ctfs", ctf),
        ("gt_latents", states.astype(np.int64)),
    ):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))
    found = read_truth_set(folder)
    np.testing.assert_array_equal(found.states, states)
    angle = 2 * np.pi * states / STATES
    np.testing.assert_allclose(found.latents, np.column_stack([np.cos(angle), np.sin(angle)]))
    # Volumes without a list are those of every (N // n)th image, as CryoBench's scripts write.
    result = tmp_path / "peer"
    (result / "volumes").mkdir(parents=True)
    for number, row in enumerate(np.arange(0, COUNT, COUNT // 12)):
        shutil.copy(truth.volumes[states[row]], result / "volumes" / f"vol_{number:03d}.mrc")
    given = score(folder, result, tmp_path / "score", scored=12)
    assert given["images"]["masked"] == pytest.approx(LIMIT, abs=1e-6)
    assert given["scored"] == 12


def test_a_stopped_scoring_goes_on(truth, states, tmp_path, monkeypatch):
    folder = fill(tmp_path / "best", truth, states)
    seen = []
    find = map_scores.MapJudge._find_nearest

    def stop(self, volume):
        seen.append(1)
        if len(seen) == 13:
            raise KeyboardInterrupt
        return find(self, volume)

    monkeypatch.setattr(map_scores.MapJudge, "_find_nearest", stop)
    monkeypatch.setattr(map_scores.FolderResult, "map_key", lambda self, row: row)
    monkeypatch.setattr(
        map_scores.FolderResult, "map_of", lambda self, row: self._read(int(states[row]))
    )
    with pytest.raises(KeyboardInterrupt):
        score(truth.path, folder, tmp_path / "score", scored=20)
    found = score(truth.path, folder, tmp_path / "score", scored=20)
    assert len(seen) == 13 + 10  # the first ten were kept
    assert found["images"]["masked"] == pytest.approx(LIMIT, abs=1e-6)


def test_mistakes_are_said(truth, states, tmp_path):
    folder = fill(tmp_path / "best", truth, states)
    (folder / "volumes" / "class_2.mrc").unlink()
    with pytest.raises(CryoswayError, match="no map of class 2"):
        score(truth.path, folder, tmp_path / "score")
    np.save(folder / "rows.npy", np.arange(COUNT - 1))
    with pytest.raises(CryoswayError, match="as many of each"):
        score(truth.path, folder, tmp_path / "score")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CryoswayError, match="neither latents"):
        score(truth.path, tmp_path / "empty", tmp_path / "score")
    with pytest.raises(CryoswayError, match="no set with a known truth"):
        score(folder, folder, tmp_path / "score")
    np.savetxt(tmp_path / "empty" / "latents.txt", [[1.0], [np.nan]])
    with pytest.raises(CryoswayError, match=r"latents.txt row 2 is not finite"):
        score(truth.path, tmp_path / "empty", tmp_path / "score")


def test_of_very_many_states_those_of_the_scored_images_count(truth, states, tmp_path, monkeypatch):
    """As of a trajectory, in which every image has a state of its own."""
    monkeypatch.setattr(truth_set, "MOST_STATES", 2)
    monkeypatch.setattr(score_module, "MOST_STATES", 2)
    rows = np.flatnonzero(states != 1)[:6]
    folder = tmp_path / "best"
    (folder / "volumes").mkdir(parents=True)
    np.savetxt(folder / "volumes" / "images.txt", rows)
    for number, row in enumerate(rows):
        shutil.copy(truth.volumes[states[row]], folder / "volumes" / f"{number}.mrc")
    found = score(truth.path, folder, tmp_path / "score")
    assert found["populations"]["right"] == 1
    table = pd.read_parquet(tmp_path / "score" / "states.parquet")
    assert list(table["state"]) == sorted(set(states[rows]))
    assert table["masked"].min() == pytest.approx(LIMIT, abs=1e-6)
