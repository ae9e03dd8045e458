"""Maps on their way to a file: same density, same place, other sampling, hand and sign."""

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.jobs import MapFinish
from cryosway.particles import read_map
from cryosway.validate import low_pass

BOX, PIXEL = 24, 2.0


@pytest.fixture
def blob():
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.exp(-((z - 2) ** 2 + (y + 3) ** 2 + (x - 1) ** 2) / 18).astype(np.float32)


def test_fewer_voxels_keep_density_and_place(blob):
    finish = MapFinish(box=12)
    found = finish.apply(blob, PIXEL)
    assert finish.pixel_size(BOX, PIXEL) == 4.0
    np.testing.assert_allclose(found, blob[::2, ::2, ::2], atol=0.02)


def test_low_pass_is_that_of_the_package(blob):
    noisy = blob + np.random.default_rng(0).normal(size=blob.shape).astype(np.float32)
    found = MapFinish(low_pass=12.0).apply(noisy, PIXEL)
    np.testing.assert_allclose(found, low_pass(noisy, PIXEL, 12.0), atol=1e-4)


def test_crop_keeps_the_place_of_what_is_left(blob):
    finish = MapFinish(crop=16)
    found = finish.apply(blob, PIXEL)
    low = round(finish.origin(BOX, PIXEL)[0] / PIXEL)
    np.testing.assert_array_equal(found, blob[low : low + 16, low : low + 16, low : low + 16])


def test_hand_is_flipped_about_the_origin(blob):
    found = MapFinish(flip_hand=True).apply(blob, PIXEL)
    assert np.unravel_index(blob.argmax(), blob.shape) == (14, 9, 13)
    assert np.unravel_index(found.argmax(), blob.shape) == (10, 9, 13)
    np.testing.assert_array_equal(MapFinish(flip_hand=True).apply(found, PIXEL), blob)


def test_sign(blob):
    np.testing.assert_array_equal(MapFinish(invert=True).apply(blob, PIXEL), -blob)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"box": 26}, "box is 26: give an even number of voxels up to 24"),
        ({"box": 7}, "box is 7"),
        ({"box": 12, "crop": 14}, "crop is 14: give an even number of voxels up to 12"),
        ({"low_pass": -1.0}, "low_pass is -1.0: give a resolution"),
    ],
)
def test_what_does_not_fit_is_said(settings, message):
    with pytest.raises(CryoswayError, match=message):
        MapFinish(**settings).check(BOX, PIXEL)


def test_files_say_where_they_lie(tmp_path, blob):
    """A written, sampled and cropped map has its voxel size and origin in the header."""
    from cryosway.jobs import _write_volumes

    class Whole:
        box, pixel_size = BOX, PIXEL
        latents = np.zeros((3, 1))
        particles = range(3)

        def volume(self, z):
            return blob

    finish = MapFinish(box=12, crop=8)
    entry = _write_volumes._write_one(Whole(), tmp_path, "a", np.zeros(1), finish, half_maps=False)
    density, info = read_map(tmp_path / entry["file"])
    assert density.shape == (8, 8, 8)
    assert info.pixel_size == pytest.approx(4.0)
    assert info.origin == pytest.approx((8.0, 8.0, 8.0))
