"""One door for every kind of file."""

import numpy as np
import pytest

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning


def test_files_that_cannot_be_particles(make):
    with pytest.raises(CryoswayError, match=r"is a folder; give the \.star"):
        cs.read_particles(make.folder)
    with pytest.raises(CryoswayError, match=r"none\.star does not exist"):
        cs.read_particles(make.folder / "none.star")
    (make.folder / "a.csv").touch()
    with pytest.raises(CryoswayError, match=r"a\.csv is of no kind that holds particles"):
        cs.read_particles(make.folder / "a.csv")
    with pytest.raises(CryoswayError, match="no particle file was given"):
        cs.read_particles([])


def test_bare_stack(make):
    images = make.stack(pixel_size=1.1)
    with pytest.warns(CryoswayWarning, match=r"s\.mrcs has no defocus \(a bare stack\)"):
        p = cs.read_particles(str(make.folder / "s.mrcs"))
    assert (p.pixel_size, p.has_poses, p.has_ctf) == (1.1, False, False)
    np.testing.assert_array_equal(p.images(), images)


@pytest.mark.filterwarnings("ignore:.*taken to have no CTF")
def test_stack_without_pixel_size_needs_consent(make):
    make.stack(pixel_size=0)
    with pytest.raises(
        CryoswayError, match=r"header of s\.mrcs .* no pixel size; .*--accept-defaults\) to use 1 Å"
    ):
        cs.read_particles(make.folder / "s.mrcs")
    assert cs.read_particles(make.folder / "s.mrcs", accept_defaults=True).pixel_size == 1.0


def test_poses_replace_those_of_the_file(make, random_rotations):
    make.stack()
    path = make.star()
    rotations, fraction = random_rotations(6), make.rng.uniform(-0.1, 0.1, (6, 2))
    p = cs.read_particles(path, poses=make.pickle("p.pkl", (rotations, fraction)))
    np.testing.assert_array_equal(p.rotations, rotations)
    np.testing.assert_allclose(p.shifts, fraction * 8 * 1.5)
    p = cs.read_particles(path, poses=make.pickle("r.pkl", rotations))
    assert (p.shifts == 0).all()
    p = cs.read_particles(path, poses=(rotations, fraction))
    np.testing.assert_array_equal(p.shifts, fraction)  # arrays are in Å
    with pytest.raises(CryoswayError, match=r"q\.pkl has 5 rows but there are 6 particles"):
        cs.read_particles(path, poses=make.pickle("q.pkl", rotations[:5]))


def test_ctf_replaces_that_of_the_file(make):
    make.stack()
    table = np.tile([8, 1.5, 1e4, 1.1e4, 30, 200, 1.4, 0.07, 90.0], (6, 1))
    table[3:, 5] = 300
    p = cs.read_particles(make.star(), ctf=make.pickle("c.pkl", table))
    assert p.ctf["voltage"].tolist() == [200] * 3 + [300] * 3
    assert p.ctf["optics_group"].tolist() == [1] * 3 + [2] * 3
    assert (p.ctf[["defocus_v", "phase_shift", "amplitude_contrast"]] == [1.1e4, 90, 0.07]).all(
        axis=None
    )


@pytest.mark.filterwarnings("error::UserWarning")
def test_ctf_given_makes_consent_needless(make):
    path = make.star30(drop=("rlnDefocusU", "rlnVoltage"))
    table = np.tile([8, 1.25, 1e4, 1.1e4, 30, 200, 1.4, 0.07, 90.0], (4, 1))
    assert cs.read_particles(path, ctf=make.pickle("c.pkl", table)).has_ctf
