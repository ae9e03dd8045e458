"""`states` and `path` on jobs whose answers are known, and whose maps show a ball at z1."""

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.cli import main
from cryosway.engine import JobFolder, write_json, write_table
from cryosway.jobs import _decoder
from cryosway.methods._landscape import populations
from cryosway.methods._landscape import states as states_module
from cryosway.methods._landscape.populations import weigh_views
from cryosway.particles import read_map, write_map

SHARES = np.array([0.5, 0.3, 0.2])
CENTRES = np.array([[-1.0, -0.3], [0.1, 0.9], [1.1, -0.4]])
N, ERROR = 1500, 0.22


def draw_ball(x):
    z, y, columns = np.indices((16, 16, 16)) - 8
    return np.exp(-((columns - x) ** 2 + y**2 + z**2) / 8).astype(np.float32)


class Balls:
    asked = 0

    def __init__(self, job):
        pass

    def volume(self, z):
        type(self).asked += 1
        return draw_ball(3 * z[0])

    def half_maps(self, z):
        return draw_ball(3 * z[0]) + 0.01, draw_ball(3 * z[0]) - 0.01


@pytest.fixture
def balls(monkeypatch):
    module = types.ModuleType("test_balls")
    module.open_decoder = Balls
    monkeypatch.setitem(sys.modules, "test_balls", module)
    monkeypatch.setitem(_decoder.DECODERS, "vae", "test_balls:open_decoder")
    Balls.asked = 0
    return Balls


def plant(seed=0):
    """Latents as a vae gives them: posteriors under a unit prior, of three states."""
    rng = np.random.default_rng(seed)
    state = rng.choice(3, N, p=SHARES)
    z = CENTRES[state] + 0.08 * rng.normal(size=(N, 2))
    sd = ERROR * np.exp(0.3 * rng.normal(size=(N, 2)))
    variance = 1 / (1 / sd**2 + 1)
    means = variance * (z + sd * rng.normal(size=z.shape)) / sd**2
    view = rng.normal(size=(N, 3))
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    table = {"index": np.arange(N), "half": 1 + np.arange(N) % 2,
             "rot": np.degrees(np.arctan2(view[:, 1], view[:, 0])),
             "tilt": np.degrees(np.arccos(view[:, 2]))}  # fmt: skip
    for k in (0, 1):
        table |= {f"z{k + 1}": means[:, k], f"z{k + 1}_sd": np.sqrt(variance[:, k])}
    return pd.DataFrame(table), state


def make_job(path, table=None, **info):
    with JobFolder.start(path, "vae", {"seed": 0}, {}) as job:
        (job.path / "volumes").mkdir()
        write_table(job.path / "particles.parquet", plant()[0] if table is None else table)
        write_map(job.path / "volumes" / "mean.mrc", draw_ball(0), 2.5, (1.0, 2.0, 3.0))
        entry = {"file": "mean.mrc", "kind": "mean", "label": "consensus", "z": None}
        write_json(job.path / "volumes" / "volumes.json", {"volumes": [entry]})
        job.update(box=16, pixel_size=2.5, **info)
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = make_job(tmp_path_factory.mktemp("states") / "job")
    job = cs.states(path, most_states=5, maps=False, interval=("pc1=:0",))
    return job, json.loads((path / "states.json").read_text())


def test_states_have_the_populations_that_were_planted(found):
    states = found[1]["states"]
    assert len(states) == 3
    places = np.array([one["population"] for one in states])
    order = places.argsort()[::-1]
    for share, one in zip(SHARES, (states[k] for k in order), strict=True):
        low, high = one["population_interval"]
        assert low - 0.02 < share < high + 0.02 and high - low < 0.12
        assert one["population_even_views"] == pytest.approx(one["population"], abs=0.06)
        assert one["population_of_halves"] == pytest.approx([share] * 2, abs=0.06)
    assert states[order[0]]["free_energy"] == 0
    expected = np.log(SHARES[0] / SHARES[1])
    assert states[order[1]]["free_energy"] == pytest.approx(expected, abs=0.2)


def test_particles_know_their_state(found):
    from sklearn.metrics import adjusted_rand_score

    table = found[0].particles
    truth = plant()[1]
    assert adjusted_rand_score(truth, table["state"]) > 0.9
    inside = table["density_cluster"] > 0
    assert adjusted_rand_score(truth[inside], table["density_cluster"][inside]) > 0.9
    assert table["state_probability"].between(1 / 3, 1).all()
    assert (table["outlier"] != "").mean() < 0.01


def test_free_energy_is_drawn_and_pictures_are_written(found):
    job, told = found
    plane = np.array(told["plane"]["energy"])
    assert plane.min() == 0 and plane.shape == tuple(map(len, told["plane"]["coordinates"]))
    for profile in told["profiles"]:
        assert np.sum(profile["share"]) == pytest.approx(1)
    for name in ("free_energy", "states"):
        assert (job.path / "figures" / f"{name}.png").stat().st_size > 5_000
    (half,) = told["intervals"]
    assert half["interval"][0] < half["population"] < half["interval"][1]


def test_centres_are_of_molecules_not_of_posterior_means(found):
    """Posterior means are drawn to 0; states are not."""
    from cryosway.methods._landscape.path import find_place

    places = np.array([find_place(found[0], f"state:{k}") for k in (1, 2, 3)])
    apart = np.linalg.norm(places[:, None] - CENTRES, axis=-1).min(0)
    assert apart.max() < 0.05


def test_homogeneous_particles_are_one_state(tmp_path, balls):
    path = make_job(tmp_path / "job", heterogeneity={"verdict": "homogeneous"})
    job = cs.states(path, density_clusters=False)
    assert set(job.particles["state"]) == {1}
    (entry,) = [entry for entry in job.volumes if entry["kind"] == "state"]
    assert (job.path / "volumes" / entry["file"]).exists() and len(entry["half_maps"]) == 2
    decisions = json.loads((path / "decisions.json").read_text())
    assert decisions[-1]["why"] == "the particles were found homogeneous"


QUICK = {"maps": False, "density_clusters": False}


@pytest.mark.parametrize("asked", [{"most_states": 4}, {"coordinates": 2}])
def test_who_asks_for_states_is_not_told_that_there_are_none(tmp_path, asked):
    path = make_job(tmp_path / "job", heterogeneity={"verdict": "homogeneous"})
    assert cs.states(path, **QUICK, **asked).particles["state"].nunique() > 1


def test_a_validation_says_whether_to_look_for_states(tmp_path, make_validation):
    path = make_job(tmp_path / "job", heterogeneity={"verdict": "homogeneous"})
    make_validation(path, tmp_path / "val", "heterogeneous", (0.001, 0.002))
    cs.states(path, **QUICK)
    told = json.loads((path / "states.json").read_text())
    assert (len(told["states"]), told["coordinates"]) == (3, 2)


def test_interrupted_states_keep_what_is_finished(tmp_path, monkeypatch, capsys):
    """Stopped before the second density, the command goes on to the answer of one at once."""
    table = plant()[0][:300]
    typed = ["states", "--no-maps", "--most-states", "2", "--no-density-clusters"]
    typed += ["--coordinates", "1", "--interval", "pc2=:0"]
    calls = {"mixtures": 0, "densities": 0}
    choose, measure = states_module.choose_mixture, populations.deconvolve

    def count_mixture(*arguments, **options):
        calls["mixtures"] += 1
        return choose(*arguments, **options)

    def count_density(*arguments, **options):
        if calls["densities"] == 1 and stop:
            stop.clear()
            raise KeyboardInterrupt
        calls["densities"] += 1
        return measure(*arguments, **options)

    monkeypatch.setattr(states_module, "choose_mixture", count_mixture)
    monkeypatch.setattr(populations, "deconvolve", count_density)
    stop = [True]
    path = make_job(tmp_path / "job", table)
    assert main([*typed, str(path)]) == 130
    assert "the same command goes on where it stopped" in capsys.readouterr().err
    assert main([*typed, str(path)]) == 0
    assert calls == {"mixtures": 1, "densities": 2}
    assert main([*typed, str(make_job(tmp_path / "at_once", table))]) == 0
    ours, theirs = ((tmp_path / name / "states.json").read_text() for name in ("job", "at_once"))
    assert ours == theirs


def test_rare_views_count_for_more():
    rng = np.random.default_rng(0)
    tilt = np.degrees(np.arccos(np.where(rng.random(20_000) < 0.9, 1, -1) * rng.random(20_000)))
    weights = weigh_views(pd.DataFrame({"rot": rng.uniform(-180, 180, 20_000), "tilt": tilt}))
    assert weights.mean() == pytest.approx(1)
    assert weights[tilt > 110].mean() / weights[tilt < 70].mean() == pytest.approx(9, rel=0.15)
    assert weigh_views(pd.DataFrame({"z1": [0.0]})) is None


def test_a_path_leads_from_here_to_there(tmp_path, balls):
    job = make_job(tmp_path / "job")
    out = cs.write_path(job, tmp_path / "out", start="particle:3", end=[1.0, 0.5], points=4)
    latents = np.loadtxt(out / "path.txt")
    np.testing.assert_allclose(latents[0], cs.open_job(job).latents[3], rtol=1e-6)
    np.testing.assert_allclose(latents[-1], [1.0, 0.5], rtol=1e-6)
    entries = json.loads((out / "volumes" / "volumes.json").read_text())["volumes"]
    for entry, z in zip(entries, latents, strict=True):
        volume, about = read_map(out / "volumes" / entry["file"])
        centre = (volume.sum(axis=(0, 1)) @ np.arange(16)) / volume.sum() - 8
        assert centre == pytest.approx(3 * z[0], abs=0.2)
        assert about.origin == (1.0, 2.0, 3.0)
    cs.write_path(job, tmp_path / "out", start="particle:3", end=[1.0, 0.5], points=4)
    assert balls.asked == 4, "a second call makes nothing again"
    assert len(cs.open_job(job).volumes) == 1, "the job's own maps stay as they are"


def test_an_interrupted_path_goes_on(tmp_path, balls, monkeypatch):
    job, draw = make_job(tmp_path / "job"), balls.volume

    def stop_at_third(self, z):
        if balls.asked == 2:
            raise KeyboardInterrupt
        return draw(self, z)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(balls, "volume", stop_at_third)
        cs.write_path(job, tmp_path / "out", by="pc", points=5)
    cs.write_path(job, tmp_path / "out", by="pc", points=5)
    assert balls.asked == 5


@pytest.mark.parametrize("by", ["graph", "energy", "points"])
def test_every_way_passes_where_particles_are(tmp_path, by):
    job = make_job(tmp_path / "job")
    ends = {"start": CENTRES[0], "end": CENTRES[2], "through": [CENTRES[1]]}
    out = cs.write_path(job, tmp_path / "out", **ends, by=by, points=5, maps=False)
    told = json.loads((out / "path.json").read_text())
    assert len(told["points"]) == (3 if by == "points" else 5)
    away = [np.linalg.norm(np.array(one["z"]) - CENTRES[1]) for one in told["points"]]
    assert min(away) < 0.35
    if by == "energy":
        energies = [one["free_energy"] for one in told["points"]]
        assert max(energies[1:-1]) > max(energies[0], energies[-1]), "there are barriers"


def make_gap():
    """Particles at −1 and 1 along z1, and one between them."""
    rng = np.random.default_rng(3)
    z = np.column_stack([np.r_[-np.ones(60), np.ones(60), 0.0], np.zeros(121)])
    z += 0.02 * rng.normal(size=z.shape)
    return pd.DataFrame({"z1": z[:, 0], "z1_sd": 0.1, "z2": z[:, 1], "z2_sd": 0.1})


def test_a_path_over_a_gap_says_so_in_one_sentence(tmp_path):
    job = make_job(tmp_path / "job", make_gap())
    ends = {"start": "particle:0", "end": "particle:119"}
    with pytest.warns(CryoswayWarning, match=r"^1 of the 3 points .* \(point 2: \d\.\d; the best"):
        out = cs.write_path(job, tmp_path / "out", **ends, points=3, maps=False)
    points = json.loads((out / "path.json").read_text())["points"]
    assert [one["sparse"] for one in points] == [False, True, False]


def test_a_path_has_scripts_of_chimerax(tmp_path, balls):
    job = make_job(tmp_path / "job")
    out = cs.write_path(job, tmp_path / "out", start=CENTRES[0], end=CENTRES[1], points=3)
    moved = Path(shutil.move(out, tmp_path / "moved"))
    for name, count in (("session.cxc", 4), ("movie.cxc", 4)):
        text = (moved / name).read_text()
        opened = [line for line in text.splitlines() if line.startswith("open ")]
        files = [moved / path for line in opened for path in line.split('"')[1::2]]
        assert len(files) == count and all(path.exists() for path in files)
    assert "movie encode path.mp4" in text
    change, _ = read_map(moved / "chimerax" / "change_path.mrc")
    maps = [read_map(moved / "volumes" / f"path_00{k}.mrc")[0] for k in (1, 2, 3)]
    np.testing.assert_allclose(change, np.std(maps, axis=0), atol=1e-5)


def test_command_line_takes_places(tmp_path):
    job = make_job(tmp_path / "job")
    typed = ["path", str(job), "--out", str(tmp_path / "out"), "--no-maps", "--points", "3"]
    assert main([*typed, "--from", "-0.5,0.25", "--to", "particle:2"]) == 0
    np.testing.assert_allclose(np.loadtxt(tmp_path / "out" / "path.txt")[0], [-0.5, 0.25])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "particle:1"}, "needs two ends: give --from and --to"),
        ({"start": "particle:1", "end": "1,2,3"}, "'1,2,3' is no place .* 2 numbers"),
        ({"start": "particle:1", "end": "moon:3"}, "'moon:3' is no place"),
        ({"start": "particle:1", "end": "particle:9999"}, "no particle 9999: rows go from 0 to"),
        ({"start": "particle:1", "end": "state:1"}, "has no states; run cryosway states"),
        ({"start": "particle:1", "end": "cluster:1"}, "has no clusters; run cryosway landscape"),
        ({"by": "pc", "direction": 5}, "there are only 2 directions, no 5"),
    ],
)
def test_sentences(tmp_path, options, sentence):
    with pytest.raises(CryoswayError, match=sentence):
        cs.write_path(make_job(tmp_path / "job"), tmp_path / "out", maps=False, **options)


def test_an_interval_must_be_along_a_direction(tmp_path):
    with pytest.raises(CryoswayError, match="'z1=0:1' is not along a principal direction"):
        cs.states(make_job(tmp_path / "job"), most_states=1, interval=("z1=0:1",), maps=False)
