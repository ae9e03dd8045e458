"""Selections: combined and inverted as asked, and every column, row and dtype on the way out."""

import json

import numpy as np
import pandas as pd
import pytest
import starfile
from numpy.lib.recfunctions import append_fields

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.engine import JobFolder, read_table, write_table
from cryosway.methods._job_files import particles_table
from cryosway.methods._motions.intervals import parse_interval
from cryosway.particles import read_map, read_star

COUNT = 60


@pytest.fixture(scope="module")
def star(one_state, tmp_path_factory):
    """Sixty particles in another order, with columns that we do not know."""
    path = tmp_path_factory.mktemp("star") / "extended.star"
    order = np.random.default_rng(5).permutation(600)[:COUNT]
    cs.read_particles(one_state.particles)[order].write(path, absolute_paths=True)
    lines, found, inside = [], 0, False
    for line in path.read_text().splitlines():
        inside = inside or line.startswith("data_particles")
        if inside and line.startswith("_rln"):
            last = int(line.split("#")[1])
        elif inside and line.strip() and not line.startswith(("data_", "loop_", "#")):
            lines += [f"_labNote #{last + 1}"] if found == 0 else []
            line += f" 00{found}"
            found += 1
        lines.append(line)
    path.write_text("\n".join([*lines, ""]))
    return path


def make_job(particles, path, **columns):
    rng = np.random.default_rng(0)
    with JobFolder.start(path, "linear", {}) as folder:
        particles.write(folder.path / "particles.star", absolute_paths=True)
        latents = rng.normal(size=(COUNT, 2))
        table = particles_table(
            particles, 1 + np.arange(COUNT) // 2 % 2, latents=latents, latent_sd=0.1 + 0 * latents
        )
        table["cluster"], table["state"] = 1 + np.arange(COUNT) % 3, 1 + np.arange(COUNT) % 2
        table["contrast"] = np.where(np.arange(COUNT) == 7, 3.0, 1 + 0.1 * rng.normal(size=COUNT))
        table["sign"] = np.full(COUNT, -1)
        for name, values in columns.items():
            table[name] = values
        write_table(folder.path / "particles.parquet", table)
    return cs.open_job(path)


@pytest.fixture(scope="module")
def job(star, tmp_path_factory):
    return make_job(cs.read_particles(star), tmp_path_factory.mktemp("job") / "job")


def rows_in(folder):
    return np.loadtxt(folder / "rows.txt", int, ndmin=1).tolist()


def columns_of(path):
    block = max(read_star(path), key=len)
    return {name: column.to_pylist() for name, column in block.columns.items()}


def test_star_to_job_to_star_is_the_same_to_the_character(job, star, tmp_path):
    cs.select(job, tmp_path, cluster=(2, 3))
    whole, found = columns_of(star), columns_of(tmp_path / "particles.star")
    wanted = np.flatnonzero(job.particles["cluster"].isin([2, 3]))
    assert list(found) == list(whole) and found["labNote"][0] == "001"
    for name, column in whole.items():
        assert found[name] == [column[row] for row in wanted]
    before, after = starfile.read(star), starfile.read(tmp_path / "particles.star")
    expected = before["particles"].iloc[wanted].reset_index(drop=True)
    pd.testing.assert_frame_equal(after["particles"], expected)
    pd.testing.assert_frame_equal(after["optics"], before["optics"])


@pytest.mark.parametrize("to", ["relion", "cryosparc"])
def test_a_selection_and_the_rest_are_the_whole(job, star, tmp_path, to):
    """Each in the order of the input; what is selected of a selection is the same again."""
    folders = [tmp_path / "some", tmp_path / "rest"]
    for folder, invert in zip(folders, (False, True), strict=True):
        cs.select(job, folder, cluster=(1,), state=(2,), invert=invert, to=to)
    rows = [rows_in(folder) for folder in folders]
    assert sorted([*rows[0], *rows[1]]) == list(range(COUNT))
    assert all(chosen == sorted(chosen) for chosen in rows)
    whole = cs.read_particles(star)
    name = "particles.star" if to == "relion" else "particles.cs"
    for folder, chosen in zip(folders, rows, strict=True):
        found = cs.read_particles(folder / name)
        np.testing.assert_array_equal(found.images(), whole.images(chosen))
        np.testing.assert_allclose(found.rotations, whole.rotations[chosen], atol=1e-6)
        np.testing.assert_allclose(found.shifts, whole.shifts[chosen], atol=1e-5)
    cs.select(job, tmp_path / "again", index=(folders[0] / "rows.txt",), to=to)
    assert (tmp_path / "again" / name).read_bytes() == (folders[0] / name).read_bytes()


def test_cs_to_job_to_cs_keeps_dtypes_and_uids(star, tmp_path):
    cs.read_particles(star).write(tmp_path / "plain.cs", absolute_paths=True)
    records = append_fields(
        np.load(tmp_path / "plain.cs"), "ours/weight", np.arange(COUNT) / 3, usemask=False
    )
    with (tmp_path / "input.cs").open("wb") as file:
        np.save(file, records)
    job = make_job(cs.read_particles(tmp_path / "input.cs"), tmp_path / "job")
    out = cs.select(
        job, tmp_path / "out", to="cryosparc", state=(1,), particles=tmp_path / "input.cs"
    )
    found = np.load(out / "particles.cs")
    assert found.dtype == records.dtype
    np.testing.assert_array_equal(found, records[job.particles["state"] == 1])
    again = cs.read_particles(out / "particles.cs")  # and it is a data set that we read
    np.testing.assert_array_equal(again.source["uid"], found["uid"])


def test_conditions_combine(job, tmp_path):
    table = job.particles
    listed = tmp_path / "list.npy"
    np.save(listed, np.array([3, 1, 4, 1, 5]))
    inside = table["z1"].between(-1, 0.5).to_numpy()
    first, third = table["cluster"] == 1, (table["cluster"] == 3).to_numpy()
    in_list = np.isin(np.arange(COUNT), [1, 3, 4, 5])
    asked = {"cluster": (3,), "interval": ("z1=-1:0.5",), "index": (listed,)}
    for name, options, wanted in [
        ("and", asked, third & inside & in_list),
        ("or", asked | {"combine": "or"}, third | inside | in_list),
        ("not", asked | {"combine": "or", "invert": True}, ~(third | inside | in_list)),
        ("query", {"query": "z2 > 0 and cluster != 1"}, (table["z2"] > 0) & ~first),
        ("odd", {"outliers": "only"}, np.arange(COUNT) == 7),
        ("sane", {"outliers": "drop", "state": (2,)},
         (table["state"] == 2) & (np.arange(COUNT) != 7)),
    ]:  # fmt: skip
        folder = cs.select(job, tmp_path / name, **options)
        assert rows_in(folder) == np.flatnonzero(wanted).tolist(), name
        assert len(cs.read_particles(folder / "particles.star")) == wanted.sum()
    again = cs.select(job, tmp_path / "again", index=(tmp_path / "and" / "rows.txt",))
    assert rows_in(again) == rows_in(tmp_path / "and")


def test_reasons_are_told(job, tmp_path):
    cs.select(job, tmp_path, state=(2,))
    said = json.loads((tmp_path / "selection.json").read_text())
    assert said["suspicious"] == {"contrast": 1}
    assert said["conditions"] == [{"asked": "state 2", "particles": 30}]
    table = read_table(tmp_path / "particles.parquet")
    assert table["outlier"][7] == "contrast"
    assert table["selected"].to_numpy().nonzero()[0].tolist() == rows_in(tmp_path)


def test_command_line(job, tmp_path):
    typed = ["select", str(job.path), "--out", str(tmp_path), "--invert"]
    assert main([*typed, "--interval", "z1=-1:", "--state", "1"]) == 0
    wanted = ~((job.particles["z1"] >= -1) & (job.particles["state"] == 1))
    assert rows_in(tmp_path) == np.flatnonzero(wanted).tolist()


def test_half_maps_are_of_exactly_these_particles(one_state, tmp_path):
    particles = cs.read_particles(one_state.particles)[:COUNT]
    job = make_job(particles, tmp_path / "job", sign=np.ones(COUNT))
    wanted = job.particles["cluster"] != 2
    cs.select(job, tmp_path / "out", cluster=(1, 3), maps=True)
    maps = cs.open_job(tmp_path / "out" / "maps")
    expected = job.particles[wanted]["half"]
    assert maps.particles["half"].tolist() == expected.tolist(), "half-sets are those of the job"
    assert "local_resolution" in [entry["kind"] for entry in maps.volumes]
    by_hand = cs.backproject(particles[wanted.to_numpy()], tmp_path / "hand")
    for name in ("unmasked.mrc",):  # does not depend on the halves
        found, right = (read_map(j.path / "volumes" / name)[0] for j in (maps, by_hand))
        np.testing.assert_allclose(found, right, atol=1e-3 * np.abs(right).max())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cluster": (9,)}, "there is no cluster 9 .*; there are 1, 2, 3"),
        ({"interval": ("z1 -1 2",)}, "'z1 -1 2' is not an interval; write it as z1=-1:0.5"),
        ({"interval": ("contrst=0:1",)}, "no column of numbers 'contrst'; did you mean contrast"),
        ({"query": "z1 >"}, "cannot be understood"),
        ({"query": "z1 + 1"}, "is no condition: it gives float64"),
        ({"query": "nothing > 3"}, "of the columns index, image_name"),
        ({"cluster": (1,), "query": "cluster == 2"}, "ask for less"),
    ],
)
def test_sentences(job, tmp_path, options, sentence):
    with pytest.raises(CryoswayError, match=sentence):
        cs.select(job, tmp_path, **options)


def test_what_was_not_run_is_named(star, tmp_path):
    job = make_job(cs.read_particles(star), tmp_path / "job")
    table = job.particles.drop(columns=["cluster", "state"])
    write_table(job.path / "particles.parquet", table)
    for name, command in (("cluster", "landscape"), ("state", "states")):
        with pytest.raises(CryoswayError, match=f"has no {name}s; run cryosway {command}"):
            cs.select(cs.open_job(job.path), tmp_path / "out", **{name: (1,)})


@pytest.mark.parametrize("text", ["z1", "z1=", "z1=:", "=1:2", "z1=a:b", "z1=1"])
def test_intervals_that_are_none(text):
    with pytest.raises(CryoswayError, match="is not an interval"):
        parse_interval(text)
