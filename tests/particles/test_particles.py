"""Views, lazily read images, and what a set says of itself."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cryosway as cs
from cryosway import CryoswayError


@pytest.fixture
def both(make):
    """Particles in two stacks, shuffled, and their images in that order."""
    images = np.concatenate([make.stack("a.mrcs", 4), make.stack("b.mrcs", 4)])
    rows = make.rows(4, "a.mrcs") + make.rows(4, "b.mrcs")
    order = make.rng.permutation(8)
    return cs.read_particles(make.star(rows=[rows[i] for i in order])), images[order]


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(6, 1, -2),
        [5, 0, 5, 2],
        np.array([True, False] * 4),
        -1,
        np.int64(3),
        [],
        range(3),
    ],
)
def test_views_and_images_follow_numpy(both, index):
    p, images = both
    wanted = np.atleast_1d(
        np.arange(8)[index if not isinstance(index, range | list) else np.array(index, int)]
    )
    view = p[index]
    assert len(view) == len(wanted)
    np.testing.assert_array_equal(view.images(), images[wanted])
    np.testing.assert_array_equal(p.images(index), images[wanted])
    np.testing.assert_array_equal(view.rotations, p.rotations[wanted])
    np.testing.assert_array_equal(view.shifts, p.shifts[wanted])
    np.testing.assert_array_equal(view.half_sets, p.half_sets[wanted])
    np.testing.assert_array_equal(view.ctf, p.ctf.iloc[wanted])
    np.testing.assert_array_equal(view.source["image_name"], p.source["image_name"].iloc[wanted])


@settings(max_examples=30, deadline=None)
@given(picks=st.lists(st.lists(st.integers(0, 7), min_size=8, max_size=8), min_size=1, max_size=3))
def test_views_of_views(picks):
    import pandas as pd

    from cryosway.particles import Particles
    from cryosway.particles._image_store import ImageStore
    from cryosway.particles._records import NO_CTF, ParticleRecords

    ctf = pd.DataFrame({**NO_CTF, "pixel_size": np.arange(8.0) + 1, "optics_group": 1})
    records = ParticleRecords(("a",), ImageStore([]), np.zeros(8, np.int32), np.arange(8), ctf)
    view, expected = Particles(records), np.arange(8)
    for pick in picks:
        view, expected = view[pick], expected[pick]
    np.testing.assert_array_equal(view.records.index, expected)
    np.testing.assert_array_equal(view.ctf["pixel_size"], expected + 1)


def test_bad_indices(both):
    p, _ = both
    for index, sentence in [
        (8, "there is no particle 8: the set has 8"),
        ([0, -9], "there is no particle -9"),
        ([True, False], "a mask of 2 values cannot select among 8"),
        ([0.5], "selected by integers or a mask, not by float64"),
    ]:
        with pytest.raises(CryoswayError, match=sentence):
            p[index]


def test_nothing_is_read_before_it_is_asked_for(both, monkeypatch):
    p, _ = both
    opened = []
    from cryosway.particles import _image_store

    real = _image_store._OpenStack
    monkeypatch.setattr(
        _image_store, "_OpenStack", lambda layout: opened.append(layout.path.name) or real(layout)
    )
    view = p[p.source["image_path"].str.endswith("b.mrcs").to_numpy()]
    _ = view.box, view.pixel_size, view.rotations, view.ctf, view.fingerprint(), repr(view)
    assert opened == []
    view.images([0])
    assert opened == ["b.mrcs"]


def test_views_share_arrays(both):
    p, _ = both
    assert p[1:3].records.store is p.records.store
    assert p[1:3]._records is p._records


def test_changing_the_ctf_table_does_not_change_the_particles(both):
    p, _ = both
    table = p.ctf
    table["voltage"] = 1.0
    assert (p.ctf["voltage"] == 300).all()


def test_with_poses(both, random_rotations):
    p, _ = both
    q = p[2:6].with_poses(random_rotations(4), np.ones((4, 2)))
    np.testing.assert_array_equal(q.rotations, random_rotations(4))
    np.testing.assert_array_equal(q[1:2].shifts, [[1, 1]])
    assert not np.allclose(p[2:6].rotations, q.rotations)
    np.testing.assert_array_equal(q.images(), p.images(slice(2, 6)))
    with pytest.raises(CryoswayError, match="do not fit 8 particles"):
        p.with_poses(random_rotations(4), np.ones((4, 2)))
    with pytest.raises(CryoswayError, match="not finite"):
        p.with_poses(random_rotations(8), np.full((8, 2), np.nan))
    with pytest.raises(CryoswayError, match="a CTF table of 8 rows"):
        p.with_ctf(p.ctf.iloc[:3])


def test_fingerprint_tells_changes(both, random_rotations):
    p, _ = both
    assert p.fingerprint() == p[:].fingerprint() == p[np.arange(8)].fingerprint()
    others = [
        p[1:],
        p[::-1],
        p.with_poses(random_rotations(8), p.shifts),
        p.with_ctf(p.ctf.assign(cs=1.0)),
    ]
    assert len({p.fingerprint(), *(q.fingerprint() for q in others)}) == 5
    stack = p.source["image_path"].iloc[0]
    os.utime(stack, (1, 1))
    again = cs.read_particles(Path(stack).parent / "p.star")
    assert again.fingerprint() != p.fingerprint()


def test_other_processes_can_read(both):
    p, images = both
    p.images([0])
    copy = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(copy.images(), images)


def test_threads_can_read_at_once(both):
    from concurrent.futures import ThreadPoolExecutor

    p, images = both
    orders = [np.random.default_rng(i).permutation(8) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for order, read in zip(orders, pool.map(p.images, orders), strict=True):
            np.testing.assert_array_equal(read, images[order])


def test_repr_and_iteration(both):
    p, images = both
    assert repr(p) == "<Particles: 8 images, 8 px, 1.5 Å/px, with poses>"
    np.testing.assert_array_equal(np.concatenate([one.images() for one in p]), images)


def test_only_known_endings_are_written(both, tmp_path):
    with pytest.raises(
        CryoswayError, match=r"cannot write a\.txt: give a name that ends in \.star or \.cs"
    ):
        both[0].write(tmp_path / "a.txt")


def test_empty_selection(both, tmp_path):
    empty = both[0][[]]
    assert len(empty) == 0 and empty.rotations.shape == (0, 3, 3) and len(empty.ctf) == 0
    with pytest.raises(CryoswayError, match="no pixel size"):
        _ = empty.pixel_size
