"""Pickles can make arrays and nothing else."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import cryosway as cs
from cryosway import CryoswayError
from cryosway.optics import relion_euler_to_matrix
from cryosway.particles._pickles import (
    load_array_series,
    load_arrays,
    read_cryodrgn_ctf,
    read_cryodrgn_poses,
)


class Malice:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize(
    "make_bad",
    [
        lambda marker: Malice(os.system, f"touch {marker}"),
        lambda marker: (np.eye(3)[None], Malice(Path.touch, marker)),
        lambda marker: np.array([Malice(eval, f"open({str(marker)!r}, 'w')")], object),
        lambda marker: Malice(exec, f"open({str(marker)!r}, 'w')"),
        lambda marker: Malice(np.save, str(marker), 0),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_malicious_pickle_is_refused_and_not_run(tmp_path, make_bad, protocol):
    marker = tmp_path / "harm"
    path = tmp_path / "poses.pkl"
    path.write_bytes(pickle.dumps(make_bad(marker), protocol))
    with pytest.raises(CryoswayError, match="was refused: a pickle of numpy arrays is expected"):
        load_arrays(path)
    assert not marker.exists()


def test_numpy_functions_outside_the_list_are_refused(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"cnumpy\nload\n(S'x'\ntR.")
    with pytest.raises(CryoswayError, match=r"it asks for numpy\.load"):
        load_arrays(path)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i8"])
def test_arrays_of_every_protocol(tmp_path, protocol, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps((array, [array]), protocol))
    read = load_arrays(tmp_path / "a.pkl")
    np.testing.assert_array_equal(read[0], array)
    np.testing.assert_array_equal(read[1][0], array)


def test_pickles_of_old_numpy(tmp_path):
    array = np.arange(4.0)
    new = pickle.dumps(array, 2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    (tmp_path / "a.pkl").write_bytes(old)
    np.testing.assert_array_equal(load_arrays(tmp_path / "a.pkl"), array)


def test_damaged_and_objects(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04nonsense")
    with pytest.raises(CryoswayError, match=r"a\.pkl (is not a readable|was refused)"):
        load_arrays(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(np.array([None, {}], object)))
    with pytest.raises(CryoswayError, match="array of Python objects"):
        load_arrays(tmp_path / "b.pkl")
    with pytest.raises(CryoswayError, match="cannot read"):
        load_arrays(tmp_path / "none.pkl")


def test_poses_are_checked(make, random_rotations):
    good = random_rotations(4)
    assert read_cryodrgn_poses(make.pickle("r.pkl", good))[1] is None
    for content, sentence in [
        (np.zeros((4, 9)), "does not hold poses"),
        ((good, np.zeros((3, 2))), r"4 rotations but shifts of shape \(3, 2\)"),
        ((good, np.full((4, 2), -30.0)), r"row 1: the shift \[-30\.0, -30\.0\] is no fraction"),
        ((good, np.full((4, 2), np.nan)), "row 1: the shift"),
        ((good * np.nan, np.zeros((4, 2))), "row 1: the matrix is not a rotation"),
        ((-good, np.zeros((4, 2))), "row 1: the matrix is not a rotation"),
    ]:
        with pytest.raises(CryoswayError, match=sentence):
            read_cryodrgn_poses(make.pickle("p.pkl", content))


def test_ctf_table_is_checked(make):
    table = np.tile([8, 1.5, 1e4, 1e4, 30, 300, 2.7, 0.1, 0.0], (4, 1)).astype(np.float32)
    read = read_cryodrgn_ctf(make.pickle("c.pkl", table))
    assert read[0, 6] == 2.7  # not 2.700000047683716
    table[2, 8] = np.nan  # what cryoDRGN writes where a STAR file has no phase shift
    with pytest.raises(CryoswayError, match=r"c\.pkl row 3: phase_shift is nan"):
        read_cryodrgn_ctf(make.pickle("c.pkl", table))
    with pytest.raises(CryoswayError, match="is it a pose file"):
        read_cryodrgn_ctf(make.pickle("c.pkl", (np.zeros((4, 3, 3)),)))


def test_parity_with_cryodrgn(make):
    """The pickles that cryoDRGN makes of a STAR file give what the STAR file gives."""
    path = make.star30(drop=("rlnAmplitudeContrast",))
    from_star = cs.read_particles(path, accept_defaults=True)
    rot, tilt, psi = np.array([[0, 10, 20, 30], [20, 21, 22, 23], [0, -30, -60, -90]], float)
    fraction = np.array([[1, 0], [-2, 1.5], [0.5, -0.5], [0, 2]]) / 8  # rlnOriginX/Y over the box
    ctf = np.tile([8, 1.25, 15686, 17521.4, 87.62907, 300, 2.7, 0.1, 0], (4, 1)).astype("f4")
    poses = make.pickle("pose.pkl", (relion_euler_to_matrix(rot, tilt, psi), fraction))
    from_pickles = cs.read_particles(
        make.folder / "s30.mrcs", poses=poses, ctf=make.pickle("ctf.pkl", ctf)
    )
    np.testing.assert_allclose(from_pickles.rotations, from_star.rotations, atol=1e-12)
    np.testing.assert_allclose(from_pickles.shifts, from_star.shifts, atol=1e-12)
    columns = [c for c in from_star.ctf if c != "optics_group"]
    np.testing.assert_allclose(from_pickles.ctf[columns], from_star.ctf[columns], rtol=1e-6)


def test_ctf_of_another_box(make):
    make.stack(pixel_size=0)
    ctf = np.tile([16, 1.5, 1e4, 1e4, 30, 300, 2.7, 0.1, 0.0], (6, 1))
    p = cs.read_particles(make.folder / "s.mrcs", ctf=make.pickle("c.pkl", ctf))
    assert p.pixel_size == 3.0  # 16 px of 1.5 Å became 8 px
    with pytest.raises(CryoswayError, match=r"c\.pkl has 5 rows but there are 6 particles"):
        cs.read_particles(make.folder / "s.mrcs", ctf=make.pickle("c.pkl", ctf[:5]))


def test_pickles_one_after_the_other(tmp_path):
    """cryoDRGN's z.pkl is two pickles in one file."""
    mean, variance = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    path = tmp_path / "z.pkl"
    with path.open("wb") as file:
        pickle.dump(mean, file)
        pickle.dump(variance, file)
    read = load_array_series(path)
    assert len(read) == 2
    np.testing.assert_array_equal(read[0], mean)
    with path.open("ab") as file:
        pickle.dump(Malice(os.system, "false"), file)
    with pytest.raises(CryoswayError, match=r"it asks for posix\.system"):
        load_array_series(path)
