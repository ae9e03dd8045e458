"""cs.landscape on a job folder: columns, maps, summary; resumed, never stale."""

import fcntl
import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import cryosway as cs
from cryosway.landscape import _landscape
from cryosway.particles import read_map

HETEROGENEOUS = {
    "verdict": "heterogeneous",
    "directions": [{"variance_explained": 0.5, "noise_alone": 0.1, "p_value": 0.001}],
}
HOMOGENEOUS = {
    "verdict": "homogeneous",
    "directions": [{"variance_explained": 0.1, "noise_alone": 0.1, "p_value": 0.5}],
}


def test_columns_are_added_and_others_kept(tmp_path, make_linear_job, planted):
    job = cs.landscape(make_linear_job(tmp_path / "j"), clusters=3, umap=False)
    assert list(job.particles.columns[:5]) == ["index", "z1", "z1_sd", "z2", "z2_sd"]
    assert {"pc1", "pc2", "cluster"} <= set(job.particles)
    assert adjusted_rand_score(planted[1], job.particles["cluster"]) > 0.98


def test_maps_stand_where_the_latents_say(tmp_path, make_linear_job):
    job = cs.landscape(
        make_linear_job(tmp_path / "j", HETEROGENEOUS), clusters=3, umap=False, path_points=5
    )
    kinds = [entry["kind"] for entry in job.volumes]
    assert kinds.count("cluster") == 3
    assert kinds.count("path") == 5
    for entry in job.volumes[1:]:
        volume, info = read_map(job.path / "volumes" / entry["file"])
        centre = (volume.sum(axis=(0, 1)) @ np.arange(16)) / volume.sum() - 8
        assert centre == pytest.approx(entry["z"][0] / 4, abs=0.15)
        assert info.pixel_size == pytest.approx(2.5)
        assert info.origin == (1.0, 2.0, 3.0), "all maps overlay the consensus map"
        assert all((job.path / "volumes" / half).exists() for half in entry["half_maps"])
        assert entry["resolution_angstrom"] > 0


def test_support_tells_a_cluster_from_the_gap_between_clusters(tmp_path, make_linear_job):
    job = cs.landscape(make_linear_job(tmp_path / "j"), clusters=3, umap=False, path_points=5)
    clusters = [entry["n_effective"] for entry in job.volumes if entry["kind"] == "cluster"]
    path = [entry["n_effective"] for entry in job.volumes if entry["kind"] == "path"]
    assert min(clusters) > 20
    assert path[1] < 1, "between the clusters there is nobody"


def test_the_path_runs_from_the_5th_to_the_95th_percentile(tmp_path, make_linear_job):
    job = cs.landscape(make_linear_job(tmp_path / "j", HETEROGENEOUS), clusters=1, umap=False)
    positions = [entry["position"] for entry in job.volumes if entry["kind"] == "path"]
    expected = np.percentile(job.particles["pc1"], [5, 95])
    np.testing.assert_allclose([positions[0], positions[-1]], expected)


def test_a_second_call_makes_nothing_again(tmp_path, make_linear_job, balls):
    first = cs.landscape(make_linear_job(tmp_path / "j"), clusters=3, umap=False)
    asked, before = balls.asked, (tmp_path / "j" / "particles.parquet").read_bytes()
    second = cs.landscape(tmp_path / "j", clusters=3, umap=False)
    assert balls.asked == asked
    assert (tmp_path / "j" / "particles.parquet").read_bytes() == before
    assert second.volumes == first.volumes


def test_an_interrupted_call_takes_up_where_it_stopped(
    tmp_path, make_linear_job, balls, monkeypatch
):
    make_linear_job(tmp_path / "j")
    draw = balls.volume

    def stop_at_third(self, z):
        if balls.asked == 2:
            raise KeyboardInterrupt
        return draw(self, z)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(balls, "volume", stop_at_third)
        cs.landscape(tmp_path / "j", clusters=3, umap=False)
    job = cs.landscape(tmp_path / "j", clusters=3, umap=False)
    assert balls.asked == 3 + 7, "two maps stood, eight were missing"
    assert len(job.volumes) == 1 + 3 + 7


@pytest.fixture
def counted(monkeypatch):
    """Count how often clusters and UMAP are found; UMAP is a quick stand-in."""
    calls = {"clusters": 0, "umap": 0}
    find = _landscape.cluster_particles

    def cluster(*arguments, **options):
        calls["clusters"] += 1
        return find(*arguments, **options)

    def embed(coordinates, *, seed):
        calls["umap"] += 1
        return coordinates[:, :2] + seed

    monkeypatch.setattr(_landscape, "cluster_particles", cluster)
    monkeypatch.setattr(_landscape, "embed_umap", embed)
    return calls


def test_clusters_and_umap_are_kept_when_maps_are_interrupted(
    tmp_path, make_linear_job, balls, counted, monkeypatch
):
    def stop(self, z):
        raise KeyboardInterrupt

    make_linear_job(tmp_path / "j")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(balls, "volume", stop)
        cs.landscape(tmp_path / "j", clusters=3)
    cs.landscape(tmp_path / "j", clusters=3)
    assert counted == {"clusters": 1, "umap": 1}
    cs.landscape(make_linear_job(tmp_path / "at_once"), clusters=3)
    for name in ("landscape.json", "particles.parquet"):
        ours, theirs = (tmp_path / job / name for job in ("j", "at_once"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_umap_follows_the_latents_and_the_seed_alone(tmp_path, make_linear_job, counted):
    options = {"directions": 0}
    cs.landscape(make_linear_job(tmp_path / "j"), clusters=1, **options)
    cs.landscape(tmp_path / "j", clusters=2, **options)
    assert counted == {"clusters": 2, "umap": 1}
    job = cs.landscape(tmp_path / "j", clusters=2, seed=1, **options)
    assert counted["umap"] == 2
    np.testing.assert_allclose(job.particles["umap1"], job.particles["pc1"] + 1)


def test_a_damaged_checkpoint_is_made_anew(tmp_path, make_linear_job, counted):
    cs.landscape(make_linear_job(tmp_path / "j"), clusters=1, directions=0)
    (tmp_path / "j" / "checkpoints" / "UMAP.safetensors").write_bytes(b"half a file")
    cs.landscape(tmp_path / "j", clusters=1, directions=0)
    assert counted == {"clusters": 1, "umap": 2}


def test_stages_are_told_with_their_time(tmp_path, make_linear_job, counted, caplog):
    make_linear_job(tmp_path / "j")
    caplog.set_level("INFO", "cryosway")
    cs.landscape(tmp_path / "j", clusters=2, directions=0)
    told = [record.getMessage() for record in caplog.records]
    assert told[:4] == ["k-means clusters ...", "k-means clusters: 0 s", "UMAP ...", "UMAP: 0 s"]


def test_other_options_leave_no_stale_maps(tmp_path, make_linear_job):
    cs.landscape(make_linear_job(tmp_path / "j"), clusters=4, umap=False)
    job = cs.landscape(tmp_path / "j", clusters=2, umap=False)
    listed = {entry["file"] for entry in job.volumes}
    listed |= {half for entry in job.volumes for half in entry.get("half_maps") or ()}
    assert {path.name for path in (job.path / "volumes").glob("*.mrc")} == listed
    assert job.particles["cluster"].max() == 2


def test_a_changed_model_makes_new_maps(tmp_path, make_linear_job, balls):
    cs.landscape(make_linear_job(tmp_path / "j"), clusters=1, directions=0, umap=False)
    (tmp_path / "j" / "model.json").write_text("{}")
    cs.landscape(tmp_path / "j", clusters=1, directions=0, umap=False)
    assert balls.asked == 2


def test_homogeneous_particles_are_not_divided(tmp_path, make_linear_job):
    job = cs.landscape(make_linear_job(tmp_path / "j", HOMOGENEOUS), umap=False)
    assert set(job.particles["cluster"]) == {1}
    assert not [entry for entry in job.volumes if entry["kind"] == "path"]
    decisions = json.loads((tmp_path / "j" / "decisions.json").read_text())
    assert all("homogeneous" in entry["why"] for entry in decisions)


def test_a_validation_says_whether_they_are_divided(tmp_path, make_linear_job, make_validation):
    job = make_linear_job(tmp_path / "j", HOMOGENEOUS)
    make_validation(job, tmp_path / "val", "heterogeneous", (0.001, 0.5))
    found = cs.landscape(job, umap=False, path_points=2)
    assert found.particles["cluster"].max() == 2
    assert len([entry for entry in found.volumes if entry["kind"] == "path"]) == 2


def test_what_the_user_asks_for_goes_before_any_verdict(tmp_path, make_linear_job):
    job = make_linear_job(tmp_path / "j", HOMOGENEOUS)
    found = cs.landscape(job, clusters=3, directions=1, umap=False, path_points=2)
    assert found.particles["cluster"].max() == 3
    decisions = json.loads((job / "decisions.json").read_text())
    assert [(one["value"], one["why"]) for one in decisions] == [
        (3, "as the user said"),
        (1, "as the user said"),
    ]


def test_methods_without_half_maps_are_served(tmp_path, make_linear_job, without_halves):
    job = cs.landscape(make_linear_job(tmp_path / "j"), clusters=2, umap=False)
    assert job.volumes[1]["half_maps"] is None
    assert job.volumes[1]["resolution_angstrom"] is None


def test_a_job_without_latents_gets_a_sentence(tmp_path, make_linear_job):
    table = pd.DataFrame({"index": [0, 1]})
    make_linear_job(tmp_path / "j", table=table, command="backproject")
    with pytest.raises(cs.CryoswayError, match=r"no latents .*backproject.*cryosway linear"):
        cs.landscape(tmp_path / "j")


def test_latents_that_are_not_finite_are_named(tmp_path, make_linear_job):
    table = pd.DataFrame({"z1": [0.0, np.nan, 1.0]})
    with pytest.raises(cs.CryoswayError, match="row 1"):
        cs.landscape(make_linear_job(tmp_path / "j", table=table))


@pytest.mark.parametrize("clusters", [0, 361])
def test_an_impossible_number_of_clusters_is_refused(tmp_path, make_linear_job, clusters):
    with pytest.raises(cs.CryoswayError, match="give 1 to 360"):
        cs.landscape(make_linear_job(tmp_path / "j"), clusters=clusters)


def test_a_missing_umap_is_a_warning_only(tmp_path, make_linear_job, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.warns(cs.CryoswayWarning, match=r"cryosway\[embed\]"):
        job = cs.landscape(make_linear_job(tmp_path / "j"), clusters=2, directions=0)
    assert "umap1" not in job.particles


def test_only_one_writer_at_a_time(tmp_path, make_linear_job):
    make_linear_job(tmp_path / "j")
    with (tmp_path / "j" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another process would
        with pytest.raises(cs.CryoswayError, match="is being written"):
            cs.landscape(tmp_path / "j", umap=False)


def test_a_single_latent_is_enough(tmp_path, make_linear_job):
    table = pd.DataFrame({"z1": np.linspace(-1, 1, 60), "z1_sd": 0.1})
    job = cs.landscape(make_linear_job(tmp_path / "j", table=table), clusters=2, umap=False)
    assert "pc1" in job.particles
    assert "pc2" not in job.particles
