"""UMAP: optional, seeded, and the same whether or not particles were in the sample."""

import sys

import numpy as np
import pytest

import cryosway as cs
from cryosway.landscape import embed_umap
from cryosway.landscape._embedding import _Epochs


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(cs.CryoswayError, match=r"pip install cryosway\[embed\]"):
        embed_umap(np.zeros((10, 2)))


def test_epochs_of_umap_are_our_progress():
    tqdm = pytest.importorskip("tqdm.auto").tqdm
    epochs = _Epochs(1200)
    for _ in tqdm(range(30), mininterval=0, **epochs.settings):
        pass
    assert epochs.progress.describe().startswith("UMAP of 1,200 particles: 30 of 30 (100 %)")


@pytest.mark.slow
def test_planted_clusters_stay_apart_and_the_seed_decides(planted):
    pytest.importorskip("umap")
    latents, truth = planted
    first = embed_umap(latents, seed=1, fit_at_most=250)
    np.testing.assert_array_equal(first, embed_umap(latents, seed=1, fit_at_most=250))
    middles = np.array([np.median(first[truth == one], axis=0) for one in range(3)])
    nearest = np.linalg.norm(first[:, None] - middles, axis=2).argmin(axis=1)
    assert np.mean(nearest == truth) > 0.95
