"""Particles chosen by what was measured in them: every column and the order of rows survive."""

import numpy as np
import pandas as pd
import pytest
from numpy.lib.recfunctions import append_fields

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.engine import JobFolder, write_table
from cryosway.methods._job_files import particles_table
from cryosway.methods._motions.intervals import find_inside

COUNT = 30


@pytest.fixture(scope="module")
def star(one_state, tmp_path_factory):
    """Thirty particles in another order, with columns that we do not know."""
    path = tmp_path_factory.mktemp("star") / "extended.star"
    order = np.random.default_rng(5).permutation(600)[:COUNT]
    cs.read_particles(one_state.particles)[order].write(path, absolute_paths=True)
    lines, found = [], 0
    in_particles = False
    for line in path.read_text().splitlines():
        in_particles = in_particles or line.startswith("data_particles")
        if in_particles and line.startswith("_rln"):
            labels = line.split("#")
            last = int(labels[1])
        elif in_particles and line.strip() and not line.startswith(("data_", "loop_", "#")):
            if found == 0:
                lines += [f"_rlnOurNumber #{last + 1}", f"_labNote #{last + 2}"]
            line += f" {found / 7:.6f} note{found:03d}"
            found += 1
        lines.append(line)
    assert found == COUNT
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.fixture(scope="module")
def job(star, tmp_path_factory):
    particles = cs.read_particles(star)
    rng = np.random.default_rng(0)
    with JobFolder.start(tmp_path_factory.mktemp("job") / "job", "linear", {}) as folder:
        particles.write(folder.path / "particles.star", absolute_paths=True)
        table = particles_table(particles, latents=rng.normal(size=(COUNT, 2)))
        table["distance1"] = np.where(np.arange(COUNT) == 4, np.nan, rng.uniform(20, 40, COUNT))
        table["cluster"] = 1 + np.arange(COUNT) % 3
        write_table(folder.path / "particles.parquet", table)
    return cs.open_job(folder.path)


def rows_of(path):
    """The particle rows of a STAR file, as texts, and its labels."""
    block = path.read_text().split("data_particles")[1].splitlines()
    labels = [line.split()[0] for line in block if line.startswith("_")]
    body = [line.split() for line in block if line.strip() and line[0] not in "_#dl"]
    return labels, [dict(zip(labels, row, strict=True)) for row in body if len(row) == len(labels)]


def test_relion_keeps_every_column_and_the_order(job, star, tmp_path):
    table = job.particles
    low, high = 25.0, 35.0
    cs.export(job, tmp_path, to="relion", interval=(("distance1", low, high), ("z1", -1.0, 1.0)))
    wanted = np.flatnonzero(table["distance1"].between(low, high) & table["z1"].between(-1, 1))
    assert 3 < len(wanted) < COUNT
    labels, whole = rows_of(star)
    found_labels, found = rows_of(tmp_path / "particles.star")
    assert found_labels == labels and "_labNote" in labels
    assert found == [whole[row] for row in wanted]  # to the last character
    optics = [
        path.read_text().split("data_particles")[0] for path in (star, tmp_path / "particles.star")
    ]
    assert optics[0].split() == optics[1].split()


def test_cryosparc_keeps_every_field_and_uid(job, star, tmp_path):
    particles = cs.read_particles(star)
    particles.write(tmp_path / "input.cs", absolute_paths=True)
    records = np.load(tmp_path / "input.cs")
    more = append_fields(records, "ours/weight", np.arange(COUNT) / 3, usemask=False)
    with (tmp_path / "input.cs").open("wb") as file:
        np.save(file, more)
    low, high = job.particles["z2"].quantile([0.3, 0.8])
    out = cs.export(
        job, tmp_path / "out", to="cryosparc",
        interval=(("z2", low, high),), particles=tmp_path / "input.cs",
    )  # fmt: skip
    found = np.load(out / "particles.cs")
    wanted = np.flatnonzero(job.particles["z2"].between(low, high))
    assert set(more.dtype.names) <= set(found.dtype.names)
    for name in ("uid", "ours/weight", "blob/idx", "alignments3D/pose"):
        np.testing.assert_array_equal(found[name], more[name][wanted])


def test_intervals_and_clusters_both_hold(job, tmp_path):
    cs.export(job, tmp_path, to="relion", interval=(("z1", 0.0, 9.0),), clusters=(2,))
    table = job.particles
    wanted = table.index[(table["z1"] >= 0) & (table["cluster"] == 2)]
    whole = rows_of(job.path / "particles.star")[1]
    assert rows_of(tmp_path / "particles.star")[1] == [whole[row] for row in wanted]


def test_command_line_takes_negative_numbers(job, tmp_path):
    typed = ["export", str(job.path), "--to", "relion", "--out", str(tmp_path)]
    assert main([*typed, "--interval", "z1", "-0.5", "1e1", "--interval", "z2", "-3", "0"]) == 0
    inside = find_inside(job.particles, (("z1", -0.5, 10.0), ("z2", -3.0, 0.0)))
    assert len(rows_of(tmp_path / "particles.star")[1]) == inside.sum() > 0


def test_ends_count_and_missing_values_do_not():
    table = pd.DataFrame({"x": [1.0, 2.0, np.nan, 3.0], "name": list("abcd")})
    assert find_inside(table, [("x", 1, 2)]).tolist() == [True, True, False, False]
    assert find_inside(table, []).all()


def test_sentences(job, tmp_path):
    for interval, sentence in [
        (("distance2", 1, 2), "no column of numbers 'distance2'; did you mean distance1"),
        (("image_name", 1, 2), "no column of numbers 'image_name'"),
        (("z1", 2, 1), "--interval z1 2 1 holds nothing: give the lower end first"),
        (("distance1", 50, 60), "no particle has distance1 from 50 to 60: it goes from 2.* to 3"),
    ]:
        with pytest.raises(CryoswayError, match=sentence):
            cs.export(job, tmp_path, to="relion", interval=(interval,))
    outside = (("z1", job.particles["z1"].max(), 9.0), ("z2", job.particles["z2"].max(), 9.0))
    with pytest.raises(CryoswayError, match="choose other clusters, intervals or rows"):
        cs.export(job, tmp_path, to="relion", interval=outside)
    with pytest.raises(CryoswayError, match="of which none go to ChimeraX"):
        cs.export(job, tmp_path, to="chimerax", interval=(("z1", -1, 1),))
