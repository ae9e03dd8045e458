import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.optics import random_rotations, relion_euler_to_matrix
from cryosway.simulate._metadata import draw_particles
from cryosway.simulate._real_rows import RealRows


@pytest.fixture
def rows_file(tmp_path):
    rng = np.random.default_rng(0)
    count = 30
    ctf = np.tile([256, 1.6375, 0, 0, 5.0, 300, 2.7, 0.07, 0], (count, 1))
    ctf[:, 2] = rng.uniform(10_000, 20_000, count)
    ctf[:, 3] = ctf[:, 2] + rng.normal(0, 300, count)
    path = tmp_path / "rows.npz"
    arrays = {
        "rot": random_rotations(count, rng).astype(np.float32),
        "trans_fraction": rng.uniform(-0.1, 0.1, (count, 2)).astype(np.float32),
        "ctf": ctf.astype(np.float32),
    }
    np.savez(path, **arrays)
    return path, arrays


def test_rows_stay_whole(rows_file, options):
    path, arrays = rows_file
    truth = draw_particles(options(metadata=path, n=20), 1).truth
    assert truth["metadata_row"].is_unique
    row = truth["metadata_row"].to_numpy()
    shown = relion_euler_to_matrix(truth["rot"], truth["tilt"], truth["psi"])
    np.testing.assert_allclose(shown, arrays["rot"][row], atol=1e-5)
    shifts = truth[["shift_x", "shift_y"]].to_numpy()
    np.testing.assert_allclose(shifts, arrays["trans_fraction"][row] * 256 * 1.6375, rtol=1e-5)
    np.testing.assert_allclose(truth["defocus_u"], arrays["ctf"][row, 2], rtol=1e-6)
    np.testing.assert_allclose(truth["defocus_v"], arrays["ctf"][row, 3], rtol=1e-6)
    assert (truth["pixel_size"] == 3.0).all()


def test_more_particles_than_rows_use_all_rows_before_repeating(rows_file):
    rows = RealRows.read(rows_file[0])
    drawn = rows.draw(75, np.random.default_rng(0))
    assert np.bincount(drawn, minlength=30).min() == 2
    assert np.bincount(drawn).max() == 3


def test_rotations_are_exact_rotations_again(rows_file):
    r = RealRows.read(rows_file[0]).rotations
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.tile(np.eye(3), (30, 1, 1)), atol=1e-14)


def test_says_what_is_wrong(tmp_path):
    with pytest.raises(CryoswayError, match="no such metadata file"):
        RealRows.read(tmp_path / "absent.npz")
    np.savez(tmp_path / "lacking.npz", rot=np.zeros((2, 3, 3)))
    with pytest.raises(CryoswayError, match="not an npz with arrays"):
        RealRows.read(tmp_path / "lacking.npz")
    np.savez(
        tmp_path / "odd.npz",
        rot=np.zeros((2, 3, 3)),
        trans_fraction=np.zeros((2, 3)),
        ctf=np.zeros((2, 9)),
    )
    with pytest.raises(CryoswayError, match=r"array trans_fraction has shape \(2, 3\)"):
        RealRows.read(tmp_path / "odd.npz")
