"""Job folders that earlier releases wrote stay readable: they are kept in archive/ for ever."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import cryosway as cs
from cryosway.engine import JobFolder, load_tensors

ARCHIVE = Path(__file__).with_name("archive")


@pytest.fixture
def archived(tmp_path):
    return Path(shutil.copytree(ARCHIVE / "v1_backproject", tmp_path / "job"))


def test_version_1_opens(archived):
    job = cs.open_job(archived)
    assert (job.status, job.info["command"], job.info["format_version"]) == (
        "finished",
        "backproject",
        1,
    )
    assert job.particles["image_name"].tolist()[0] == "000001@a.mrcs"
    assert job.latents.shape == (4, 0)
    volume = job.volume()
    assert np.unravel_index(volume.argmax(), volume.shape) == (4, 4, 4)  # the origin: D/2
    assert volume.max() == 1
    assert len(job.half_maps()) == 2
    assert job.fsc().tolist() == [1, 1, 0.9, 0.5]
    assert (job.box, job.pixel_size) == (8, 2.5)


def test_version_1_opens_where_nothing_can_be_written(archived):
    for path in (*archived.rglob("*"), archived):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(archived.rglob("*"))
    assert cs.open_job(archived).volume().shape == (8, 8, 8)
    assert sorted(archived.rglob("*")) == before
    for path in (archived, *archived.rglob("*")):
        path.chmod(0o755)


def test_version_1_checkpoints_load(archived):
    tensors, meta = load_tensors(archived / "checkpoints" / "state.safetensors")
    np.testing.assert_array_equal(tensors["sum"], [1 + 2j, 3])
    np.testing.assert_array_equal(tensors["count"], [0, 1, 2])
    assert meta["step"] == 1


def test_version_1_request_is_still_the_same_request(archived):
    config = {"mask": "auto", "seed": 0}
    with JobFolder.start(archived, "backproject", config, {"particles": "0" * 64}) as job:
        assert job.already_finished
