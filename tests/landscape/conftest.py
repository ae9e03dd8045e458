"""A linear job with planted clusters, whose decoder draws a ball where the latent says."""

import sys
import types

import numpy as np
import pandas as pd
import pytest

from cryosway.engine import JobFolder, write_json, write_table
from cryosway.jobs import MissingResultError, _decoder
from cryosway.particles import write_map

BOX = 16
PIXEL_SIZE = 2.5
CENTRES = np.array([[-6.0, 0.0], [0.0, 4.0], [6.0, 0.0]])


def draw_ball(x: float) -> np.ndarray:
    z, y, columns = np.indices((BOX,) * 3) - BOX // 2
    return np.exp(-((columns - x) ** 2 + y**2 + z**2) / 8).astype(np.float32)


class BallDecoder:
    """Puts a ball at x = z1 / 4 voxels; counts how often it is asked."""

    asked = 0

    def __init__(self, job) -> None:
        pass

    def volume(self, z):
        type(self).asked += 1
        return draw_ball(z[0] / 4)

    def half_maps(self, z):
        return draw_ball(z[0] / 4) + 0.01, draw_ball(z[0] / 4) - 0.01

    def fsc(self, z):
        return np.linspace(1.0, 0.0, BOX // 2)


class DecoderWithoutHalves(BallDecoder):
    def half_maps(self, z):
        raise MissingResultError("no half-maps")

    fsc = half_maps


def plant_particles(per_cluster: int = 120, seed: int = 3) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), per_cluster)
    latents = CENTRES[truth] + rng.normal(size=(len(truth), 2)) * 0.7
    table = pd.DataFrame({"index": np.arange(len(truth))})
    for number in (1, 2):
        table[f"z{number}"] = latents[:, number - 1]
        table[f"z{number}_sd"] = 0.5
    return table, truth


def make_job(path, heterogeneity=None, table=None, command="linear"):
    with JobFolder.start(path, command, {"seed": 0}, {}) as job:
        (job.path / "volumes").mkdir()
        write_table(
            job.path / "particles.parquet", plant_particles()[0] if table is None else table
        )
        write_map(job.path / "volumes" / "mean.mrc", draw_ball(0), PIXEL_SIZE, (1.0, 2.0, 3.0))
        entry = {"file": "mean.mrc", "kind": "mean", "label": "consensus", "z": None}
        write_json(job.path / "volumes" / "volumes.json", {"volumes": [entry]})
        job.update(box=BOX, pixel_size=PIXEL_SIZE, heterogeneity=heterogeneity)
    return path


@pytest.fixture
def use_decoder(monkeypatch):
    """Let linear jobs be decoded by a class of this file."""

    def use(kind):
        module = types.ModuleType("test_decoder")
        module.open_decoder = kind
        monkeypatch.setitem(sys.modules, "test_decoder", module)
        monkeypatch.setitem(_decoder.DECODERS, "linear", "test_decoder:open_decoder")

    return use


@pytest.fixture
def make_linear_job(use_decoder):
    use_decoder(BallDecoder)
    BallDecoder.asked = 0
    return make_job


@pytest.fixture
def balls():
    return BallDecoder


@pytest.fixture
def without_halves(use_decoder):
    use_decoder(DecoderWithoutHalves)


@pytest.fixture
def planted():
    table, truth = plant_particles()
    return table[["z1", "z2"]].to_numpy(), truth
