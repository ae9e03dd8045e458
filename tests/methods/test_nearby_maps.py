"""Half-maps of a network's job need its images; without them the rest goes on."""

import numpy as np
import pandas as pd
import pytest
import torch

import cryosway as cs
from cryosway.engine import JobFolder, write_table
from cryosway.jobs import MissingResultError
from cryosway.methods._neural.model import NeuralModel
from cryosway.volumes import FieldSpec, NeuralField, NeuralVolume

BOX, COUNT = 16, 60


@pytest.fixture
def job(tmp_path):
    """A job of vae whose maps are linear in one latent, and whose particles.star is gone."""
    rng = np.random.default_rng(0)
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    ball = np.exp(-(x**2 + y**2 + z**2) / 8)
    base = torch.from_numpy(np.stack([ball, x * ball / 4]).astype(np.float32))
    spec = FieldSpec(box=BOX, latent_dim=1, width=8, layers=1, anchors=2)
    model = NeuralModel(
        volume=NeuralVolume(NeuralField(spec), torch.zeros(BOX // 2), base),
        encoder=None,
        mask=torch.ones(BOX, BOX, BOX),
        signal=torch.ones(BOX // 2),
        noise=np.ones((1, BOX // 2)),
        contrast_sd=0.1,
        pixel_size=3.0,
    )
    with JobFolder.start(tmp_path / "job", "vae", {}) as folder:
        model.save(folder.path)
        columns = {"z1": rng.normal(size=COUNT), "z1_sd": np.full(COUNT, 0.3)}
        columns |= {"half": 1 + np.arange(COUNT) % 2, "contrast": np.ones(COUNT)}
        write_table(folder.path / "particles.parquet", pd.DataFrame(columns))
        folder.update(box=BOX, pixel_size=3.0)
    return cs.open_job(tmp_path / "job")


def test_without_images_there_are_no_half_maps(job):
    with pytest.raises(MissingResultError, match=r"particles.star is not there: half-maps need"):
        job.half_maps(np.zeros(1))
    assert job.volume(np.zeros(1)).shape == (BOX, BOX, BOX)
    assert 1 < job.n_effective(np.zeros(1)) < COUNT


def test_without_images_there_is_a_landscape(job):
    found = cs.landscape(job, clusters=2, directions=1, path_points=3, umap=False)
    assert [entry["half_maps"] for entry in found.volumes] == [None] * 5
    first, last = (entry["z"][0] for entry in found.volumes if entry.get("point") in (1, 3))
    assert first < last
