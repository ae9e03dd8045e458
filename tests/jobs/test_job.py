import json

import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway.engine import JobFolder, write_json, write_table
from cryosway.jobs import MissingResultError, _decoder
from cryosway.particles import read_map, write_map

BOX, PIXEL = 8, 1.7


class LinearDecoder:
    """A mean plus two components; no models."""

    def __init__(self, job):
        self.basis = np.random.default_rng(0).normal(size=(3, BOX, BOX, BOX)).astype(np.float32)

    def volume(self, z):
        return self.basis[0] + np.tensordot(z, self.basis[1:], 1).astype(np.float32)

    def half_maps(self, z):
        return self.volume(z), self.volume(z)

    def fsc(self, z):
        return np.ones(BOX // 2)


@pytest.fixture
def linear_job(tmp_path, monkeypatch):
    decoders = {"linear": "decoders:open_decoder"}
    monkeypatch.setattr(_decoder, "DECODERS", decoders)
    real = _decoder.importlib.import_module

    class Module:
        open_decoder = LinearDecoder

    monkeypatch.setattr(
        _decoder.importlib, "import_module", lambda n: Module if n == "decoders" else real(n)
    )
    folder = tmp_path / "linear"
    rng = np.random.default_rng(1)
    columns = {"z10": 10.0, "z2": 2.0, "z1": 1.0, "z1_sd": 0.1, "z2_sd": 0.2, "z10_sd": 1.0}
    table = pd.DataFrame({name: scale * rng.normal(size=5) for name, scale in columns.items()})
    with JobFolder.start(folder, "linear", {"components": 3}) as job:
        write_table(folder / "particles.parquet", table.drop(columns=["z10", "z10_sd"]))
        job.update(box=BOX, pixel_size=PIXEL)
    return cs.open_job(folder)


@pytest.fixture
def map_job(tmp_path):
    """A job without latents, with a map, half-maps and curves on disk."""
    folder = tmp_path / "map"
    maps = np.random.default_rng(2).normal(size=(3, BOX, BOX, BOX)).astype(np.float32)
    names = ["mean.mrc", "half1.mrc", "half2.mrc"]
    entry = {"file": "mean.mrc", "kind": "mean", "label": "consensus", "half_maps": names[1:]}
    curves = [
        {"label": label, "volume": "mean.mrc", "value": [1.0, value, 0.1, 0.0]}
        for label, value in (("unmasked", 0.5), ("masked, corrected", 0.8))
    ]
    with JobFolder.start(folder, "backproject"):
        (folder / "volumes").mkdir()
        for name, volume in zip(names, maps, strict=True):
            write_map(folder / "volumes" / name, volume, PIXEL)
        write_json(folder / "volumes" / "volumes.json", {"volumes": [entry]})
        write_json(folder / "curves.json", {"fsc": curves})
    return cs.open_job(folder), maps


def test_latents_are_in_the_order_of_their_numbers(linear_job):
    assert linear_job.latents.shape == linear_job.latent_sd.shape == (5, 2)
    np.testing.assert_array_equal(linear_job.latents[:, 1], linear_job.particles["z2"])
    np.testing.assert_array_equal(linear_job.latent_sd[:, 0], linear_job.particles["z1_sd"])


def test_ten_latents_are_not_sorted_as_text(tmp_path):
    table = pd.DataFrame({f"z{k}": [float(k)] for k in (10, 9, 2, 1, 3, 4, 5, 6, 7, 8)})
    with JobFolder.start(tmp_path, "linear"):
        write_table(tmp_path / "particles.parquet", table)
    job = cs.open_job(tmp_path)
    np.testing.assert_array_equal(job.latents, [np.arange(1.0, 11.0)])
    assert job.latent_sd is None


def test_volume_asks_the_decoder_of_the_method(linear_job):
    decoder = LinearDecoder(linear_job)
    z = linear_job.latents[3]
    volume = linear_job.volume(z)
    assert volume.dtype == np.float32
    np.testing.assert_array_equal(volume, decoder.volume(z))
    np.testing.assert_array_equal(linear_job.volume(list(z)), volume)
    assert len(linear_job.half_maps(z)) == 2
    assert linear_job.fsc(z)[0] == 1
    assert (linear_job.box, linear_job.pixel_size) == (BOX, PIXEL)


@pytest.mark.parametrize(
    ("z", "words"),
    [
        (None, "has 2 latent dimensions: say where"),
        ([1.0], r"shape \(1,\).*give 2 numbers"),
        (0.0, r"shape \(\).*give 2 numbers"),
        ([0.0, np.nan], "not finite"),
    ],
)
def test_latents_that_do_not_fit_are_explained(linear_job, z, words):
    with pytest.raises(cs.CryoswayError, match=words):
        linear_job.volume(z)


def test_what_a_method_does_not_make_is_explained(linear_job):
    with pytest.raises(cs.CryoswayError, match="is a linear job, which makes no model"):
        linear_job.model(linear_job.latents[0])


def test_stored_maps_of_a_job_without_latents(map_job):
    job, maps = map_job
    np.testing.assert_array_equal(job.volume(), maps[0])
    np.testing.assert_array_equal(job.half_maps(), maps[1:])
    assert job.fsc()[1] == 0.8  # the masked and corrected curve
    assert job.box == BOX
    assert job.pixel_size == pytest.approx(PIXEL, rel=1e-6)
    assert job.volumes[0]["label"] == "consensus"
    with pytest.raises(MissingResultError, match="backproject job makes none"):
        job.particles  # noqa: B018
    with pytest.raises(cs.CryoswayError, match="give 0 numbers"):
        job.volume([1.0])


def test_jobs_without_volumes_say_so(tmp_path):
    with JobFolder.start(tmp_path, "inspect"):
        pass
    job = cs.open_job(tmp_path)
    assert job.volumes == []
    for ask in (job.volume, job.half_maps, job.fsc, lambda: job.box, lambda: job.pixel_size):
        with pytest.raises(MissingResultError, match="holds no volumes"):
            ask()


def test_run_answers_for_its_main_step(tmp_path, linear_job):
    run = tmp_path / "run"
    with JobFolder.start(run, "run") as job:
        job.update(main="linear", stages={"linear": "04_linear"})
    linear_job.path.rename(run / "04_linear")
    job = cs.open_job(run)
    z = job.latents[0]
    np.testing.assert_array_equal(job.volume(z), LinearDecoder(None).volume(z))
    assert job.pixel_size == PIXEL
    assert len(job.particles) == 5
    assert job.info["command"] == "run"


def test_status_of_a_killed_job_is_interrupted(tmp_path):
    with JobFolder.start(tmp_path, "linear"):
        assert cs.open_job(tmp_path).status == "running"
        info = json.loads((tmp_path / "job.json").read_text())
    assert cs.open_job(tmp_path).status == "finished"
    write_json(tmp_path / "job.json", info)  # as SIGKILL would have left it
    job = cs.open_job(tmp_path)
    assert job.status == "interrupted"
    assert "interrupted" in repr(job)
    with pytest.raises(cs.CryoswayError, match=r"interrupted: give its command again"):
        job.particles  # noqa: B018


def test_open_job_takes_what_it_gives(linear_job):
    assert cs.open_job(linear_job) is linear_job
    assert cs.open_job(str(linear_job.path)).info == linear_job.info


@pytest.mark.parametrize("name", ["nowhere", "file.txt", "."])
def test_what_is_no_job_is_explained(tmp_path, name):
    (tmp_path / "file.txt").touch()
    with pytest.raises(cs.CryoswayError, match="is not a job folder"):
        cs.open_job(tmp_path / name)


def test_write_volumes(linear_job, tmp_path):
    out = tmp_path / "maps"
    paths = cs.write_volumes(linear_job, out, latents=[[0.5, -1]], particles=[3], half_maps=True)
    assert [path.name for path in paths] == ["latent_001.mrc", "particle_000003.mrc"]
    volume, info = read_map(paths[1])
    np.testing.assert_array_equal(volume, linear_job.volume(linear_job.latents[3]))
    assert info.pixel_size == pytest.approx(PIXEL)
    entries = json.loads((out / "volumes.json").read_text())["volumes"]
    assert entries[0]["z"] == [0.5, -1]
    assert all((out / name).exists() for entry in entries for name in entry["half_maps"])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "nothing was asked for"),
        ({"particles": [5]}, "no particle 5: rows go from 0 to 4"),
        ({"particles": [-1]}, "no particle -1"),
        ({"latents": [[1.0]]}, "give 2 numbers"),
    ],
)
def test_write_volumes_explains_mistakes(linear_job, tmp_path, wanted, words):
    with pytest.raises(cs.CryoswayError, match=words):
        cs.write_volumes(linear_job, tmp_path / "maps", **wanted)
