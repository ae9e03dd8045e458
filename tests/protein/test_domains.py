"""Domains that turn as rigid bodies are found, with axis, point, angle and shift."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosway.protein import (
    analyse_motion,
    coarse_grain,
    describe_residues,
    find_domains,
    fit_rigid_motions,
)
from cryosway.protein._domains import distance_variances, vote_along_chains
from cryosway.simulate import adenylate_kinase_states

COPIES = 120
AXIS, POINT, PITCH = np.array([0.0, 0.6, 0.8]), np.array([14.0, 0.0, 0.0]), 0.1
SIZES = (60, 40, 30)
CHAINS = np.array(["A"] * sum(SIZES))


def ball(rng, count, centre, radius):
    points = rng.normal(size=(count, 3))
    points *= radius * rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(points, axis=1)[:, None]
    return points + centre


@pytest.fixture
def three_domains(rng):
    """A core; a lid that screws about an axis by z (degrees), 0.1 Å a degree; one that shifts."""
    centres = ([0, 0, 0], [28, 0, 0], [-10, 26, 0])
    parts = [
        ball(rng, n, centre, r) for n, centre, r in zip(SIZES, centres, (14, 12, 12), strict=True)
    ]
    shape = np.concatenate(parts)
    angle, along = rng.uniform(-20, 20, COPIES), rng.uniform(-4, 4, COPIES)
    ensemble = np.repeat(shape[None], COPIES, axis=0)
    turned = Rotation.from_rotvec(np.deg2rad(angle)[:, None] * AXIS).as_matrix()
    ensemble[:, 60:100] = (shape[60:100] - POINT) @ turned.mT + POINT
    ensemble[:, 60:100] += (PITCH * angle)[:, None, None] * AXIS
    ensemble[:, 100:] += along[:, None, None] * np.array([0, 1.0, 0])
    return shape, ensemble, angle, along


def pose(ensemble, rng):
    """Move every copy as a whole, which must not matter."""
    turns = Rotation.random(len(ensemble), random_state=2).as_matrix()
    return ensemble @ turns.mT + rng.normal(size=(len(ensemble), 1, 3)) * 20


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_rigid_domains_are_found_whatever_the_pose(three_domains, rng, noise):
    _, ensemble, _, _ = three_domains
    noisy = pose(ensemble, rng) + noise * rng.normal(size=ensemble.shape)
    found = find_domains(noisy, CHAINS)
    assert found.count == 3
    assert [len(found.members(number)) for number in (1, 2, 3)] == list(SIZES)
    assert np.array_equal(found.members(2), np.arange(60, 100))
    assert found.explained > (0.999 if noise == 0 else 0.7)
    if noise == 0:
        assert found.residuals[2] < 1e-6 < found.residuals[1]


def test_axis_point_angle_and_pitch_come_back(three_domains, rng):
    shape, ensemble, angle, along = three_domains
    copies = pose(ensemble, rng)
    found = find_domains(copies, CHAINS)

    def moves(number):
        members, fixed = found.members(number), found.members(1)
        motion = fit_rigid_motions(shape[members], copies[:, members])
        frame = fit_rigid_motions(shape[fixed], copies[:, fixed])
        return analyse_motion(shape[fixed], shape[members], frame.inverse().after(motion))

    lid = moves(2)
    sign = np.sign(lid.screw.axis @ AXIS)
    np.testing.assert_allclose(sign * lid.screw.axis, AXIS, atol=1e-6)
    assert np.linalg.norm(np.cross(lid.screw.point - POINT, AXIS)) < 1e-3
    np.testing.assert_allclose(sign * lid.angles, angle, atol=1e-6)
    np.testing.assert_allclose(lid.shifts, PITCH * lid.angles, atol=1e-6)
    between = np.ptp(np.percentile(angle, [5, 95]))
    assert np.rad2deg(lid.screw.angle) == pytest.approx(between, abs=1)
    assert lid.screw.shift == pytest.approx(PITCH * np.rad2deg(lid.screw.angle), abs=0.01)
    assert lid.closure > 0.9  # the axis lies across the line between the domains
    slide = moves(3)
    assert slide.slides
    np.testing.assert_allclose(np.abs(slide.screw.axis), [0, 1, 0], atol=1e-6)
    assert abs(np.corrcoef(slide.shifts, along)[0, 1]) == pytest.approx(1)
    assert np.ptp(slide.shifts) == pytest.approx(np.ptp(along), abs=1e-6)
    # Growing with the distance of the two centres.
    assert np.corrcoef(slide.shifts, slide.distances)[0, 1] > 0.9


def test_nothing_moves_gives_no_domain(three_domains, rng):
    shape, _, _, _ = three_domains
    still = np.repeat(shape[None], 30, axis=0)
    found = find_domains(pose(still, rng), CHAINS)
    assert (found.count, found.explained) == (0, 0.0)
    assert found.motion < 1e-6
    barely = find_domains(still + 0.1 * rng.normal(size=still.shape), CHAINS)
    assert barely.count == 0 and barely.motion == pytest.approx(0.17, abs=0.02)


def test_loose_residues_are_no_domains(three_domains, rng):
    """Each residue on its own, by 1.7 Å: rigid domains explain next to nothing of it."""
    shape, _, _, _ = three_domains
    loose = find_domains(shape + rng.normal(size=(40, len(shape), 3)), CHAINS)
    assert loose.count == 0 and loose.motion > 1


def test_the_number_can_be_chosen(three_domains):
    _, ensemble, _, _ = three_domains
    assert find_domains(ensemble, CHAINS, count=2).count == 2
    # The third is too small to be one, whatever is asked.
    assert find_domains(ensemble, CHAINS, count=3, least_residues=35).count == 2


def test_a_loose_tail_hides_no_domain(three_domains, rng):
    """The last seven residues flap by 15 Å."""
    _, ensemble, _, _ = three_domains
    flapping = ensemble.copy()
    flapping[:, -7:] += 15 * rng.normal(size=(COPIES, 1, 3))
    found = find_domains(flapping, CHAINS)
    assert found.count == 3
    assert np.array_equal(found.members(2), np.arange(60, 100))
    assert np.array_equal(found.members(3), np.arange(100, 123))
    assert np.array_equal(found.members(0), np.arange(123, 130))


def test_domains_of_adenylate_kinase(kinase):
    """CORE, LID (118 to 160) and NMP (30 to 67), as the literature has them, within 5 residues."""
    states = adenylate_kinase_states(8)
    model = coarse_grain(states[0])
    ensemble = np.stack([state.coordinates[model.anchors] for state in states])
    found = find_domains(ensemble, model.chains)
    assert found.count == 3
    for number, (first, last) in {2: (118, 160), 3: (30, 67)}.items():
        members = model.residue_numbers[found.members(number)]
        assert abs(members.min() - first) <= 5 and abs(members.max() - last) <= 5
    assert describe_residues(model, found.members(2)).startswith("/A:1")


def test_large_models_are_cut_from_a_part_of_their_residues(three_domains, monkeypatch):
    _, ensemble, _, _ = three_domains
    monkeypatch.setattr("cryosway.protein._domains._MOST_BEADS", 50)
    found = find_domains(ensemble, CHAINS)
    assert [len(found.members(number)) for number in (1, 2, 3)] == list(SIZES)


def test_distance_variances(rng):
    copies = rng.normal(size=(7, 5, 3))
    one = [np.linalg.norm(x[1] - x[4]) for x in copies]
    assert distance_variances(copies)[1, 4] == pytest.approx(np.var(one))


def test_votes_keep_the_ends_of_runs_and_drop_single_residues():
    chains = np.array(["A"] * 9 + ["B"] * 3)
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0])
    assert vote_along_chains(labels, chains).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
