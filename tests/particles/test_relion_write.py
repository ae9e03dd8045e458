"""STAR files come back with everything that was in them."""

import numpy as np
import pytest
import starfile

import cryosway as cs
from cryosway.particles import read_star


def columns_of(path, block):
    return {b.name: b for b in read_star(path)}[block].columns


def test_every_column_and_block_is_kept(make, tmp_path):
    make.stack()
    extra = "\n# version 50001\n\ndata_general\n\n_rlnSomeFlag 001\n"
    rows = [(*row, f"[{i},0,1]", "None", "7e-05") for i, row in enumerate(make.rows())]
    labels = (*make.star.__func__.__defaults__[3], "rlnOddThing", "rlnGroupName", "_custom")
    path = make.star(rows=rows, labels=labels, extra=extra)
    p = cs.read_particles(path)
    out = p.write(make.folder / "out.star")
    assert read_star(out) == read_star(path)


def test_selection_keeps_order_and_other_blocks(make):
    make.stack()
    path = make.star()
    p = cs.read_particles(path)
    out = p[[4, 0, 2]].write(make.folder / "out.star")
    before, after = columns_of(path, "particles"), columns_of(out, "particles")
    for label, column in before.items():
        assert after[label].to_pylist() == [column[i].as_py() for i in (4, 0, 2)]
    assert columns_of(out, "optics") == columns_of(path, "optics")
    again = cs.read_particles(out)
    np.testing.assert_array_equal(again.images(), p.images([4, 0, 2]))


def test_relion30_is_written_as_read(make):
    path = make.star30()
    out = cs.read_particles(path).write(make.folder / "out.star")
    assert read_star(out) == read_star(path)
    assert "optics" not in out.read_text()


@pytest.mark.parametrize("version", ["3.0", "3.1"])
def test_changed_poses_are_written(make, random_rotations, version):
    make.stack()
    p = cs.read_particles(make.star30() if version == "3.0" else make.star())
    rotations = random_rotations(len(p))
    shifts = make.rng.normal(0, 5, (len(p), 2))
    out = p.with_poses(rotations, shifts)[::-1].write(make.folder / "out.star")
    again = cs.read_particles(out)
    np.testing.assert_allclose(again.rotations, rotations[::-1], atol=1e-7)
    np.testing.assert_allclose(again.shifts, shifts[::-1], atol=2e-6)
    particles = read_star(out)[-1]
    assert ("rlnOriginX" in particles) == (version == "3.0")
    assert ("rlnOriginXAngst" in particles) == (version == "3.1")
    assert particles.columns.keys() >= {"rlnDefocusU", "rlnImageName"}


@pytest.mark.parametrize("version", ["3.0", "3.1"])
def test_changed_ctf_is_written(make, version):
    make.stack()
    p = cs.read_particles(make.star30() if version == "3.0" else make.star())
    table = p.ctf.assign(defocus_u=12345.5, voltage=200.0, pixel_size=1.75, phase_shift=90.0)
    again = cs.read_particles(p.with_ctf(table).write(make.folder / "out.star"))
    np.testing.assert_allclose(again.ctf, table, rtol=1e-6)


def test_cs_becomes_a_relion31_file(make):
    make.stack("J1/s.mrc")
    p = cs.read_particles(make.cs(stack="J1/s.mrc"))
    out = p.write(make.folder / "out.star")
    blocks = read_star(out)
    assert [(b.name, b.version) for b in blocks] == [("optics", "30001"), ("particles", "30001")]
    assert blocks[1].columns["rlnImageName"][1].as_py() == "000002@J1/s.mrc:mrcs"
    again = cs.read_particles(out)
    np.testing.assert_allclose(again.rotations, p.rotations, atol=1e-7)
    np.testing.assert_allclose(again.shifts, p.shifts, atol=1e-6)
    np.testing.assert_allclose(again.ctf, p.ctf, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(again.images(), p.images())
    np.testing.assert_array_equal(again.source["uid"], p.source["uid"])
    assert again.contrast_sign == p.contrast_sign == -1
    assert again.half_sets.tolist() == p.half_sets.tolist()
    frames = starfile.read(out)
    assert frames["optics"]["rlnImageSize"].tolist() == [8]
    assert len(frames["particles"]) == 6


@pytest.mark.filterwarnings("ignore:.*taken to have no CTF")
def test_bare_stack_becomes_a_star_file(make):
    images = make.stack()
    out = cs.read_particles(make.folder / "s.mrcs").write(make.folder / "sub.star")
    again = cs.read_particles(out)
    assert not again.has_poses and not again.has_ctf and again.pixel_size == 1.5
    np.testing.assert_array_equal(again.images(), images)


def test_absolute_paths_open_from_anywhere(make, tmp_path_factory):
    make.stack()
    p = cs.read_particles(make.star())
    elsewhere = tmp_path_factory.mktemp("far") / "out.star"
    p.write(elsewhere, absolute_paths=True)
    np.testing.assert_array_equal(cs.read_particles(elsewhere).images(), p.images())
