"""Images tell whether they show a model where it lies."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
from cryosway import CryoswayError
from cryosway.methods import check_views
from cryosway.simulate import adenylate_kinase_states


@pytest.fixture(scope="module")
def kinase():
    atoms = adenylate_kinase_states(2)[0]
    centre = np.average(atoms.coordinates, axis=0, weights=atoms.atomic_numbers)
    return atoms.with_coordinates(atoms.coordinates - centre)


@pytest.fixture(scope="module")
def particles(tmp_path_factory, kinase):
    out = tmp_path_factory.mktemp("views") / "sim"
    made = cs.simulate([kinase], out, n=150, box=32, pixel_size=3.0, snr=0.1, shift=6.0, seed=1)
    return cs.read_particles(made.particles)


def turn(atoms, vector):
    rotation = Rotation.from_rotvec(vector).as_matrix()
    return atoms.with_coordinates(atoms.coordinates @ rotation.T)


def test_a_docked_model_is_seen(kinase, particles):
    check = check_views(kinase, particles)
    assert check.verdict == "good"
    assert check.images == 150
    assert check.t > 10
    assert np.linalg.norm(check.shift) < 0.5
    correlations = check.correlations
    assert correlations["as given"] > 1.3 * max(correlations["shuffled"], correlations["mirrored"])
    check.require()


def test_another_hand_and_dark_protein_are_told(kinase, particles):
    flipped = kinase.with_coordinates(kinase.coordinates * [1, 1, -1])
    mirrored = check_views(flipped, particles)
    assert mirrored.verdict == "mirrored"
    dark = check_views(kinase, particles, sign=-1)
    assert dark.verdict == "inverted"
    with pytest.raises(CryoswayError, match="protein is dark in them"):
        dark.require()


@pytest.mark.parametrize("how", ["turned", "moved"])
def test_a_model_that_lies_elsewhere_is_not_seen(kinase, particles, how):
    if how == "turned":
        wrong = turn(kinase, [0.0, 2.2, 0.0])
    else:
        wrong = kinase.with_coordinates(kinase.coordinates + np.array([25.0, 0.0, 20.0]))
    check = check_views(wrong, particles)
    assert check.verdict == "unseen"
    with pytest.raises(CryoswayError, match="cryosway protein dock MODEL MAP"):
        check.require()


def test_a_shift_is_measured(kinase, particles):
    moved = kinase.with_coordinates(kinase.coordinates + np.array([4.0, -3.0, 2.0]))
    check = check_views(moved, particles)
    assert check.verdict == "shifted"
    np.testing.assert_allclose(check.shift, [-4.0, 3.0, -2.0], atol=0.7)
    with pytest.raises(CryoswayError, match=r"off by \(-\d\.\d, \d\.\d, -\d\.\d\) Å"):
        check.require()
