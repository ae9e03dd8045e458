import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.optics import random_rotations
from cryosway.particles import write_map
from cryosway.protein import Trajectory, write_structure
from cryosway.simulate import adenylate_kinase_states, truth_volume
from cryosway.simulate._resample import resample_volume
from cryosway.simulate._states import load_states


def centre_of_charge(table):
    return np.average(table.coordinates, axis=0, weights=table.atomic_numbers)


def test_states_are_centred_together_so_that_motions_stay(two_blobs, options):
    moved = [t.with_coordinates(t.coordinates + np.array([40.0, 0, 0])) for t in two_blobs]
    states = load_states(moved, options())
    mean = np.mean([centre_of_charge(t) for t in states.atoms], axis=0)
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    before = two_blobs[1].coordinates - two_blobs[0].coordinates
    after = states.atoms[1].coordinates - states.atoms[0].coordinates
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_structures_in_other_frames_are_superposed(blob, options):
    rotation = random_rotations(1, np.random.default_rng(1))[0]
    other = blob.with_coordinates(blob.coordinates @ rotation.T + 5.0)
    states = load_states([blob, other], options(superpose=True))
    np.testing.assert_allclose(states.atoms[0].coordinates, states.atoms[1].coordinates, atol=1e-9)


def test_two_structures_are_interpolated(options):
    ends = adenylate_kinase_states(2)
    states = load_states(ends, options(states=4))
    assert len(states) == 4


def test_trajectory_gives_evenly_spaced_frames(blob, options):
    frames = np.stack([blob.coordinates + np.array([0, 0, 0.1 * i]) for i in range(11)])
    states = load_states(Trajectory(blob, frames), options(states=3))
    assert len(states) == 3
    z = [t.coordinates[0, 2] for t in states.atoms]
    np.testing.assert_allclose(np.diff(z), 0.5, atol=1e-9)


def test_reads_files_of_structures_and_chooses_chains(blob, options, tmp_path):
    write_structure(tmp_path / "blob.pdb", blob)
    states = load_states(tmp_path / "blob.pdb", options(chains=("A",)))
    assert len(states.atoms[0]) == len(blob)
    with pytest.raises(CryoswayError, match="no chain Q"):
        load_states(tmp_path / "blob.pdb", options(chains=("Q",)))


def test_map_is_resampled_to_the_box(blob, options, tmp_path):
    fine = truth_volume(blob, 48, 2.0, resolution=14.0)
    write_map(tmp_path / "map.mrc", fine, 2.0)
    volume = load_states(tmp_path / "map.mrc", options(box=36)).maps[0]
    expected = truth_volume(blob, 36, 3.0, resolution=14.0) * (2.0 / 3.0) ** 3
    np.testing.assert_allclose(volume, expected, atol=0.01 * expected.max())


@pytest.mark.parametrize("ratio", [0.5, 0.75, 1.0, 1.5, 1.3])
def test_resampling_keeps_the_level_and_the_centre(blob, ratio):
    volume = truth_volume(blob, 40, 3.0, resolution=20.0)
    resampled = resample_volume(volume, ratio)
    size = resampled.shape[0]
    assert resampled[(size // 2,) * 3] == pytest.approx(volume[20, 20, 20], rel=0.02)
    assert resampled.sum() / ratio**3 == pytest.approx(volume.sum(), rel=0.02)


def test_fingerprint_follows_the_coordinates(two_blobs, options):
    a, b = (load_states(t, options()).fingerprint() for t in two_blobs)
    assert a == load_states(two_blobs[0], options()).fingerprint() != b


@pytest.mark.parametrize(
    ("changes", "sources", "message"),
    [
        ({}, "none", "no structures are given"),
        ({"box": 8}, "one", "atoms lie up to .* use a box of at least 1[46] pixels"),
        ({"states": 3}, "one", "states=3 interpolates between two structures, but 1"),
        ({}, "mixed", "maps and structures are mixed"),
        ({}, "bare trajectory", "a trajectory needs its topology"),
        ({}, "two trajectories", "2 trajectories are given; give one"),
        ({}, "absent", "no such structure file"),
    ],
)
def test_every_wrong_input_has_its_sentence(blob, options, changes, sources, message):
    given = {
        "none": [],
        "one": [blob],
        "mixed": [blob, "map.mrc"],
        "bare trajectory": ["run.dcd"],
        "two trajectories": ["a.dcd", "b.dcd"],
        "absent": "absent.cif",
    }[sources]
    with pytest.raises(CryoswayError, match=message):
        load_states(given, options(**changes))


def test_map_of_odd_shape_is_refused(options, tmp_path):
    write_map(tmp_path / "odd.mrc", np.zeros((8, 8, 9), np.float32), 3.0)
    with pytest.raises(CryoswayError, match=r"shape \(8, 8, 9\); expected a cube of even size"):
        load_states(tmp_path / "odd.mrc", options())
