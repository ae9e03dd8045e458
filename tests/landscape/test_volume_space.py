"""The landscape of volumes: components and clusters that were planted, every particle placed."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

import cryosway as cs
from cryosway.landscape import analyse_volumes, fit_mapping


def test_components_are_those_of_plain_pca():
    rng = np.random.default_rng(0)
    voxels = (rng.normal(size=(30, 3)) * [5, 2, 1] @ rng.normal(size=(3, 200))).astype(np.float32)
    found = analyse_volumes(voxels, components=3, clusters=2)
    right = PCA(3, svd_solver="full").fit(voxels)
    np.testing.assert_allclose(found.explained, right.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(right.transform(voxels)), atol=0.02)


def test_groups_of_volumes_are_found():
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], [20, 10, 5])
    voxels = (10 * rng.normal(size=(3, 100)))[group] + rng.normal(size=(35, 100))
    found = analyse_volumes(voxels.astype(np.float32), clusters=3)
    assert adjusted_rand_score(group, found.clusters) == 1
    assert np.bincount(found.clusters).tolist() == [0, 20, 10, 5], "the most populous is the first"


def test_the_mapping_predicts_what_it_says_it_does():
    rng = np.random.default_rng(2)
    places, more = rng.uniform(-3, 3, (150, 2)), rng.uniform(-2.5, 2.5, (3000, 2))

    def score(z):
        return np.stack([np.sin(z[:, 0]), 2 + z[:, 1] ** 2], axis=1)

    noise = np.stack([np.zeros(150), rng.normal(size=150) * 3], axis=1)
    mapping = fit_mapping(places, score(places))
    error = ((mapping(more) - score(more)) ** 2).mean(0) / score(more).var(0)
    assert (mapping.r_squared > 0.98).all() and (error < 0.02).all()
    blurred = fit_mapping(places, score(places) + noise)
    assert blurred.r_squared[1] < 0.7, "what cannot be predicted is not claimed"


def test_every_particle_is_placed(tmp_path, make_linear_job, planted, balls, monkeypatch):
    path = make_linear_job(tmp_path / "j")
    options = {"clusters": 1, "directions": 0, "umap": False, "volumes": 30}
    job = cs.landscape(path, **options)
    asked = balls.asked
    table, told = job.particles, json.loads((path / "volume_space.json").read_text())
    place = table["z1"].to_numpy()
    near = np.abs(np.corrcoef(place, table["vpc1"])[0, 1])
    assert near > 0.9, "the ball moves along z1"
    assert min(told["mapping"]["r_squared_left_out"][:1]) > 0.9
    assert sum(one["population"] for one in told["clusters"]) == len(table)
    assert told["explained_variance"][0] > 0.5
    cs.landscape(path, **options)
    assert balls.asked == asked, "a second call makes no volume again"


def test_an_interrupted_sketch_goes_on(tmp_path, make_linear_job, balls, monkeypatch):
    from cryosway.landscape import _volume_sketch

    path, draw = make_linear_job(tmp_path / "j"), balls.volume
    monkeypatch.setattr(_volume_sketch, "_SAVE_SECONDS", 0.0)

    def stop(self, z):
        if balls.asked == 5:
            raise KeyboardInterrupt
        return draw(self, z)

    options = {"clusters": 1, "directions": 0, "umap": False, "volumes": 12, "volume_clusters": 1}
    cs.landscape(path, **{**options, "volumes": None})
    balls.asked = 0
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(balls, "volume", stop)
        cs.landscape(path, **options)
    cs.landscape(path, **options)
    assert balls.asked == 12 + 1, "and one for the map of the cluster"


@pytest.mark.parametrize("volumes", [3, 1000])
def test_an_impossible_number_of_volumes_is_refused(tmp_path, make_linear_job, volumes):
    with pytest.raises(cs.CryoswayError, match="give 10 or more"):
        cs.landscape(make_linear_job(tmp_path / "j"), clusters=1, umap=False, volumes=volumes)
