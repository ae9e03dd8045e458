"""The finished stack depends on its images only."""

import mrcfile
import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.particles import StackWriter


def write(path, images, batches, dtype="float16"):
    with StackWriter(path, 8, 1.5, dtype, len(images)) as stack:
        for part in np.split(images, batches):
            stack.write(part)


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(10, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mrcfile_opens_it(tmp_path, images, dtype):
    write(tmp_path / "a.mrcs", images, [3], dtype)
    assert mrcfile.validate(tmp_path / "a.mrcs")
    with mrcfile.open(tmp_path / "a.mrcs") as file:
        assert file.is_image_stack()
        np.testing.assert_array_equal(file.data, images.astype(dtype))
        assert file.voxel_size.x == file.voxel_size.y == 1.5
        assert file.header.dmax == pytest.approx(images.max(), rel=1e-3)
        assert file.header.rms == pytest.approx(images.std(), rel=1e-3)


def test_bytes_do_not_depend_on_batches_or_interruptions(tmp_path, images):
    write(tmp_path / "a.mrcs", images, [5])
    write(tmp_path / "b.mrcs", images, [1, 2, 7])
    killed = StackWriter(tmp_path / "c.mrcs", 8, 1.5, "float16", 10)
    killed.write(images[:6])
    killed._file.write(b"half an image")
    killed._file.close()  # as a killed process: no header, a torn end
    with StackWriter(tmp_path / "c.mrcs", 8, 1.5, "float16", 10, start=4) as resumed:
        resumed.write(images[4:])
    assert (tmp_path / "a.mrcs").read_bytes() == (tmp_path / "b.mrcs").read_bytes()
    assert (tmp_path / "a.mrcs").read_bytes() == (tmp_path / "c.mrcs").read_bytes()


def test_unfinished_stack_says_its_length(tmp_path, images):
    with StackWriter(tmp_path / "a.mrcs", 8, 1.5, "float32", 10) as stack:
        stack.write(images[:3])
    with mrcfile.open(tmp_path / "a.mrcs") as file:
        np.testing.assert_array_equal(file.data, images[:3])


def test_resuming_more_than_there_is(tmp_path, images):
    write(tmp_path / "a.mrcs", images, [5])
    with pytest.raises(CryoswayError, match="lacks 256 bytes of its first 12 images"):
        StackWriter(tmp_path / "a.mrcs", 8, 1.5, "float16", 12, start=12)
    with pytest.raises(CryoswayError, match="cannot write"):
        StackWriter(tmp_path / "no" / "a.mrcs", 8, 1.5, "float16", 12)


def test_images_that_do_not_fit(tmp_path, images):
    with (
        StackWriter(tmp_path / "a.mrcs", 8, 1.5, "float16", 2) as stack,
        pytest.raises(ValueError, match="does not fit"),
    ):
        stack.write(images)
