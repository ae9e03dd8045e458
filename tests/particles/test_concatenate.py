"""Several files as one set."""

import numpy as np
import pytest

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.particles import Particles, read_star


@pytest.fixture
def two(make):
    make.stack("a.mrcs", 3)
    make.stack("b.mrcs", 2)
    return make


def test_same_optics_stay_one_group(two):
    a = two.star("a.star", rows=two.rows(3, "a.mrcs"))
    b = two.star("b.star", rows=two.rows(2, "b.mrcs"))
    p = cs.read_particles([a, b])
    parts = cs.read_particles(a), cs.read_particles(b)
    for name in ("rotations", "shifts", "half_sets", "ctf"):
        np.testing.assert_array_equal(
            getattr(p, name), np.concatenate([getattr(q, name) for q in parts])
        )
    np.testing.assert_array_equal(p.images(), np.concatenate([q.images() for q in parts]))
    out = read_star(p.write(two.folder / "both.star"))
    assert [len(block) for block in out] == [1, 5]


def test_other_optics_get_another_number(two):
    a = two.star("a.star", rows=two.rows(3, "a.mrcs"))
    b = two.star("b.star", rows=two.rows(2, "b.mrcs"), optics=[two.optics(1, voltage=200.0)])
    p = Particles.concatenate([cs.read_particles(a), cs.read_particles(b)])
    assert p.ctf["optics_group"].tolist() == [1, 1, 1, 2, 2]
    assert p.ctf["voltage"].tolist() == [300] * 3 + [200] * 2
    again = cs.read_particles(p.write(two.folder / "both.star"))
    np.testing.assert_array_equal(again.ctf, p.ctf)
    np.testing.assert_array_equal(again.images(), p.images())
    optics = read_star(two.folder / "both.star")[0]
    assert optics.columns["rlnOpticsGroupName"].to_pylist() == ["opticsGroup1", "opticsGroup2"]


def test_columns_that_not_all_have_are_named(two):
    labels = two.star.__func__.__defaults__[3]
    a = two.star(
        "a.star", rows=[(*r, 1) for r in two.rows(3, "a.mrcs")], labels=(*labels, "rlnExtra")
    )
    b = two.star("b.star", rows=two.rows(2, "b.mrcs"))
    with pytest.warns(CryoswayWarning, match="not all files have are left out: rlnExtra"):
        p = cs.read_particles([a, b])
    assert len(cs.read_particles(p.write(two.folder / "both.star"))) == 5


def test_changed_poses_survive(two, random_rotations):
    p = cs.read_particles(two.star("a.star", rows=two.rows(3, "a.mrcs")))
    q = p.with_poses(random_rotations(3), np.ones((3, 2)))
    both = Particles.concatenate([p, q])
    again = cs.read_particles(both.write(two.folder / "both.star"))
    np.testing.assert_allclose(again.rotations, both.rotations, atol=1e-7)
    np.testing.assert_allclose(again.shifts, both.shifts, atol=1e-6)


def test_files_of_both_programs(two):
    star = cs.read_particles(two.star("a.star", rows=two.rows(3, "a.mrcs")))
    sparc = cs.read_particles(two.cs(count=2, stack="b.mrcs"))
    p = Particles.concatenate([star, sparc])
    assert p.contrast_signs.tolist() == [0, 0, 0, -1, -1]
    again = cs.read_particles(p.write(two.folder / "both.star"))
    np.testing.assert_allclose(again.rotations, p.rotations, atol=1e-7)
    np.testing.assert_array_equal(again.images(), p.images())


def test_poses_for_all_or_none(two):
    a = cs.read_particles(two.star("a.star", rows=two.rows(3, "a.mrcs")))
    b = cs.read_particles(two.star30(drop=("rlnAngleRot",)))
    with pytest.raises(
        CryoswayError, match=r"particles of s30\.mrcs have no poses but others have"
    ):
        Particles.concatenate([a, b])
    with pytest.raises(CryoswayError, match="nothing to concatenate"):
        Particles.concatenate([])
