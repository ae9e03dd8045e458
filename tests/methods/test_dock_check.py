"""A misplaced model is found out, and the numbers say how it lies."""

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosway import CryoswayError
from cryosway.methods import DockingMap, check_docking
from cryosway.particles import MapInfo
from cryosway.simulate import Potential, adenylate_kinase_states, truth_volume

ORIGIN = np.array([-30.0, 12.0, 20.0])
PIXEL, BOX = 2.0, 48


@pytest.fixture(scope="module")
def kinase():
    """Closed adenylate kinase in the frame of the box, centre at 0."""
    atoms = adenylate_kinase_states(2)[0]
    turn = Rotation.from_rotvec([0.4, 1.1, -0.7]).as_matrix()
    centred = (atoms.coordinates - atoms.coordinates.mean(axis=0)) @ turn.T + [4.0, -6.0, 5.0]
    return atoms.with_coordinates(centred)


@pytest.fixture(scope="module")
def target(kinase):
    density = truth_volume(kinase, BOX, PIXEL, potential=Potential("electron", bfactor=80.0))
    noise = np.random.default_rng(0).normal(0, density.std(), density.shape)
    info = MapInfo(PIXEL, tuple(ORIGIN), (PIXEL,) * 3)
    return DockingMap.of((density + noise).astype(np.float32), info)


@pytest.fixture(scope="module")
def docked(kinase, target):
    """The same in the frame of the map's header."""
    return kinase.with_coordinates(kinase.coordinates + target.centre)


def move(atoms, rotation=None, shift=(0, 0, 0)):
    turn = np.eye(3) if rotation is None else Rotation.from_rotvec(rotation).as_matrix()
    centre = atoms.coordinates.mean(axis=0)
    return atoms.with_coordinates((atoms.coordinates - centre) @ turn.T + centre + shift)


def test_a_docked_model_is_good_and_knows_its_place_in_the_box(kinase, docked, target):
    check = check_docking(docked, target)
    assert (check.verdict, check.frame) == ("good", "map")
    assert check.correlation > 0.95
    assert check.correlation > check.correlations["mirrored"] + 0.1
    assert check.correlations["inverted"] < 0.5
    assert np.linalg.norm(check.shift) < 0.3
    assert check.angle < 2
    assert check.scale == pytest.approx(1, abs=0.005)
    placed = check.place_in_box(docked)
    np.testing.assert_allclose(placed.coordinates, kinase.coordinates, atol=1e-6)
    check.require()


@pytest.mark.parametrize("frame", ["centred", "corner"])
def test_frames_of_other_programs_are_recognised(frame, kinase, docked, target):
    offset = {"centred": -target.centre, "corner": -target.origin}[frame]
    check = check_docking(move(docked, shift=offset), target)
    assert (check.verdict, check.frame) == ("good", frame)
    placed = check.place_in_box(move(docked, shift=offset))
    np.testing.assert_allclose(placed.coordinates, kinase.coordinates, atol=1e-6)


def test_a_shifted_model_is_refused_with_the_shift(docked, target):
    check = check_docking(move(docked, shift=(14.0, -6.0, 9.0)), target)
    assert check.verdict == "shifted"
    np.testing.assert_allclose(check.shift, [-14.0, 6.0, -9.0], atol=0.4)
    with pytest.raises(CryoswayError, match=r"off by \(-1\d.*cryosway protein dock MODEL MAP"):
        check.require()


def test_a_turned_model_is_refused(docked, target):
    check = check_docking(move(docked, rotation=(0.0, 0.3, 0.0)), target)
    assert check.verdict == "turned"
    assert check.angle == pytest.approx(np.rad2deg(0.3), abs=1.5)
    assert check_docking(move(docked, rotation=(1.5, 1.5, 0.0)), target).verdict == "turned"


def test_hand_sign_and_scale_are_told(docked, target):
    mirrored = check_docking(docked, target.mirrored())
    assert mirrored.verdict == "mirrored"
    assert "other hand" in mirrored.sentence
    inverted = check_docking(docked, target.inverted())
    assert inverted.verdict == "inverted"
    assert "multiply the map by −1" in inverted.sentence
    stretched = DockingMap(target.density, 1.04 * PIXEL, target.centre - BOX / 2 * 1.04 * PIXEL)
    scaled = check_docking(docked, stretched)
    assert scaled.verdict == "scaled"
    assert scaled.scale == pytest.approx(1.04, abs=0.005)
    assert re.search(r"should be (2|2\.00\d|1\.99\d) Å, not 2\.08 Å", scaled.sentence)


def test_noise_fits_no_model(docked, target):
    noise = np.random.default_rng(3).normal(size=target.density.shape).astype(np.float32)
    check = check_docking(docked, DockingMap(noise, PIXEL, target.origin))
    assert check.verdict == "unrelated"
    with pytest.raises(CryoswayError, match="is it of this molecule"):
        check.require()


def test_another_conformation_is_no_misplacement():
    """The mean of all states is the map; the ends, superposed by their core, lie in it."""
    states = adenylate_kinase_states(5)
    centre = np.mean([state.coordinates.mean(axis=0) for state in states], axis=0)
    states = [state.with_coordinates(state.coordinates - centre) for state in states]
    potential = Potential("electron", bfactor=80.0)
    mean = np.mean([truth_volume(s, BOX, PIXEL, potential=potential) for s in states], axis=0)
    target = DockingMap.of(mean, MapInfo(PIXEL))
    for state in (states[0], states[-1]):
        check = check_docking(state, target)
        assert (check.verdict, check.frame) == ("good", "centred"), check.sentence
        assert 0.7 < check.correlation < 0.95
