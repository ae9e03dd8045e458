"""Clusters of volumes: as many as there are, and no odd volume is one."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import adjusted_rand_score

import cryosway as cs
from cryosway.engine import read_json
from cryosway.landscape import analyse_volumes
from cryosway.landscape._volume_clusters import cluster_volumes

LINKAGES = ("average", "ward", "complete")


@pytest.fixture
def groups():
    """Three groups in many dimensions, and four odd volumes, each alone."""
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1, 2], [30, 20, 10])
    odd = 14 * rng.normal(size=(4, 40))
    places = (8 * rng.normal(size=(3, 40)))[group] + rng.normal(size=(60, 40))
    return np.concatenate([places, odd]), group


@pytest.mark.parametrize("linkage", LINKAGES)
def test_as_many_are_found_as_there_are(groups, linkage):
    places, group = groups
    found = cluster_volumes(cdist(places, places), linkage=linkage)
    assert adjusted_rand_score(group, found[:60]) == 1
    assert np.bincount(found).argsort()[::-1].tolist() == [1, 2, 3, 0], "by size; odd ones join"


@pytest.mark.parametrize(("count", "known"), [(1, 1), (2, 2), (3, 3), (5, 5)])
def test_the_number_may_be_given(groups, count, known):
    places, _ = groups
    found = cluster_volumes(cdist(places, places), count)
    assert found.max() == known
    assert np.bincount(found)[1:].min() >= 3


def test_volumes_without_structure_are_one_cluster():
    places = np.random.default_rng(0).normal(size=(80, 40))
    assert cluster_volumes(cdist(places, places)).max() == 1
    assert cluster_volumes(np.zeros((20, 20))).max() == 1


def test_the_medoid_is_in_the_middle_of_its_cluster(groups):
    places, group = groups
    found = analyse_volumes(places.astype(np.float32))
    for number, medoid in enumerate(found.medoids, start=1):
        members = np.flatnonzero(found.clusters == number)
        assert medoid in members
        assert medoid < 60, "no odd volume is typical"
        assert group[medoid] == number - 1


def test_each_cluster_has_a_map_and_is_explained(tmp_path, make_linear_job):
    path = make_linear_job(tmp_path / "j")
    options = {"clusters": 1, "directions": 0, "umap": False, "volumes": 30}
    job = cs.landscape(path, **options, volume_clusters=3, volume_linkage="ward")
    maps = [entry for entry in job.volumes if entry["kind"] == "volume_cluster"]
    assert [entry["file"] for entry in maps] == [f"volume_cluster_0{k}.mrc" for k in (1, 2, 3)]
    assert sum(entry["population"] for entry in maps) == len(job.particles)
    assert any("volumes" in entry["what"] and entry["why"] == "as the user said"
               for entry in read_json(path / "decisions.json"))  # fmt: skip
    job = cs.landscape(path, **options, volume_clusters=1)
    assert not (path / "volumes" / "volume_cluster_02.mrc").exists(), "old maps are removed"


def test_more_clusters_than_volumes_allow_are_refused(tmp_path, make_linear_job):
    path = make_linear_job(tmp_path / "j")
    with pytest.raises(cs.CryoswayError, match=r"5 clusters of 12 volumes.* give 1 to 4"):
        cs.landscape(path, volumes=12, volume_clusters=5)
    assert not (path / "landscape.json").exists(), "before anything is done"
