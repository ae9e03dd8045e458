"""Jobs side by side: what agrees is found, what does not is said, particles are matched by name."""

import sys
import types

import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.engine import JobFolder, read_json, write_table
from cryosway.jobs._decoder import DECODERS

BOX, PIXEL, COUNT = 16, 5.0, 300


class Blobs:
    """A body, and a blob whose place along x is the first latent times a scale."""

    def __init__(self, job):
        self.scale = job.info["config"]["scale"]
        self.calls = job.info["config"]["calls"]

    def volume(self, z):
        made.append(self.scale)
        axis = np.arange(BOX) - BOX // 2
        zz, yy, xx = np.meshgrid(axis, axis, axis, indexing="ij")
        body = np.exp(-(xx**2 + (yy + 2) ** 2 + zz**2) / 8)
        blob = np.exp(-((xx - 2 * self.scale * z[0]) ** 2 + (yy - 2) ** 2 + zz**2) / 3)
        return (body + blob).astype(np.float32)


made = []


@pytest.fixture(autouse=True)
def _fake_decoder(monkeypatch):
    module = types.ModuleType("fake_blobs")
    module.open_decoder = Blobs
    monkeypatch.setitem(sys.modules, "fake_blobs", module)
    monkeypatch.setitem(DECODERS, "blobs", "fake_blobs:open_decoder")
    made.clear()


@pytest.fixture
def make_job(tmp_path):
    def make(name, latents, names=None, scale=1.0, **columns):
        rows = np.arange(len(latents))
        table = pd.DataFrame(
            {
                "index": rows,
                "image_name": names or [f"{row + 1:06d}@a/stack.mrcs" for row in rows],
                **{f"z{k}": column for k, column in enumerate(np.transpose(latents), start=1)},
                **columns,
            }
        )
        config = {"scale": scale, "calls": 0}
        with JobFolder.start(tmp_path / name, "blobs", config, {}) as job:
            write_table(job.path / "particles.parquet", table)
            job.update(box=BOX, pixel_size=PIXEL)
        return tmp_path / name

    return make


def draw(seed, count=COUNT):
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 2))


def test_an_affine_change_of_latents_is_the_same_landscape(make_job, tmp_path):
    z = draw(0)
    first, second = make_job("one", z), make_job("two", z * -2 + 0.01, scale=-0.5)
    job = cs.compare([first, second], tmp_path / "both", maps=4)
    [pair] = job.info["comparison"]["pairs"]
    assert pair["canonical_correlations"] == pytest.approx([1, 1])
    assert pair["predicted_variance"] == pytest.approx([1, 1])
    assert pair["neighbours_in_common"] == pytest.approx(1)
    assert pair["ari"] == pytest.approx(1, abs=0.1)
    assert min(pair["maps"]["change_correlation"]) > 0.99
    assert max(pair["maps"]["resolution_angstrom"]) == pytest.approx(2 * PIXEL)
    table = job.particles
    assert len(table) == COUNT
    assert table["agreement"].min() > 0.99
    page = (job.path / "report.html").read_text()
    assert "one and two order the particles alike" in page
    assert "what tells the groups apart is the same in both" in page
    assert (job.path / "figures" / "agreement.png").exists()


def test_other_sets_are_matched_by_image_name(make_job, tmp_path):
    """The second job has half of the particles, in another order and another folder."""
    z = draw(1)
    rows = np.random.default_rng(2).permutation(COUNT)[:150]
    names = [f"{row + 1:06d}@J7/extract/stack.mrcs" for row in rows]
    jobs = [make_job("all", z), make_job("some", z[rows], names)]
    assert main(["compare", *map(str, jobs), "--out", str(tmp_path / "c"), "--maps", "0"]) == 0
    found = read_json(tmp_path / "c" / "comparison.json")
    assert found["particles"] == 150
    assert found["matched_by"] == "image name without folders"
    assert found["pairs"][0]["canonical_correlations"][1] == pytest.approx(1)
    table = cs.open_job(tmp_path / "c").particles
    np.testing.assert_array_equal(np.sort(table["row_all"]), np.sort(rows))
    np.testing.assert_array_equal(rows[table["row_some"]], table["row_all"])


def test_uid_comes_first(make_job, tmp_path):
    z = draw(3)
    uid = np.arange(COUNT, dtype=np.uint64) + 2**60
    jobs = [make_job("a", z, uid=uid), make_job("b", z[::-1], uid=uid[::-1])]
    found = cs.compare(jobs, tmp_path / "c", maps=0).info["comparison"]
    assert found["matched_by"] == "uid"
    assert found["pairs"][0]["neighbours_in_common"] == pytest.approx(1)


def test_what_does_not_agree_is_said(make_job, tmp_path):
    z = draw(4)
    jobs = [make_job("a", z), make_job("b", z + 0.02), make_job("c", draw(5))]
    job = cs.compare(jobs, tmp_path / "all", maps=0)
    sentences = read_json(job.path / "supplement.json")["verdict"]
    assert sentences[0] == "Of all, a and b agree best."
    assert "a and c do not agree on the particles" in " ".join(sentences)
    table = job.particles
    assert table["agreement_c"].mean() < 0.3 < table["agreement_a"].mean()


def test_a_stopped_comparison_keeps_its_maps(make_job, tmp_path, monkeypatch):
    z = draw(6)
    jobs = [make_job("a", z), make_job("b", z)]
    volume = Blobs.volume

    def stop(self, latent):
        if len(made) == 3:
            raise KeyboardInterrupt
        return volume(self, latent)

    monkeypatch.setattr(Blobs, "volume", stop)
    with pytest.raises(KeyboardInterrupt):
        cs.compare(jobs, tmp_path / "c", maps=2)
    monkeypatch.setattr(Blobs, "volume", volume)
    cs.compare(jobs, tmp_path / "c", maps=2)
    assert len(made) == 4


def test_mistakes_are_said(make_job, tmp_path):
    z = draw(7)
    one = make_job("a", z)
    with pytest.raises(CryoswayError, match="two jobs or more, not 1"):
        cs.compare([one], tmp_path / "c")
    with pytest.raises(CryoswayError, match="given twice"):
        cs.compare([one, one], tmp_path / "c")
    other = make_job("b", z, [f"{row + 1:06d}@other.mrcs" for row in range(COUNT)])
    with pytest.raises(CryoswayError, match="0 particles in common"):
        cs.compare([one, other], tmp_path / "c")
    with pytest.raises(CryoswayError, match="holds no latents"):
        cs.compare([one, make_job("none", np.empty((COUNT, 0)))], tmp_path / "c")
