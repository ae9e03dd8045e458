"""Maps keep their voxel size and their place in space."""

import bz2
import gzip

import mrcfile
import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.particles import read_map, write_map


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("pack", [None, gzip.compress, bz2.compress])
def test_round_trip(tmp_path, dtype, pack):
    volume = np.random.default_rng(0).normal(size=(4, 6, 8)).astype(dtype)
    path = tmp_path / "a.mrc"
    write_map(path, volume, 1.25, origin=(-3.0, 4.5, 10.0))
    if pack is not None:
        path.write_bytes(pack(path.read_bytes()))
    read, info = read_map(path)
    np.testing.assert_array_equal(read, volume.astype(np.float32))
    assert read.dtype == np.float32
    assert info.pixel_size == 1.25 and info.origin == (-3.0, 4.5, 10.0)


def test_mrcfile_agrees_and_finds_no_fault(tmp_path):
    volume = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    write_map(tmp_path / "a.mrc", volume, 2.0)
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as file:
        np.testing.assert_array_equal(file.data, volume)
        assert file.is_volume() and file.voxel_size.x == 2.0
        assert file.header.rms == pytest.approx(volume.std(), rel=1e-5)


def test_axis_order_and_start_of_a_crystallographic_map(tmp_path):
    path = tmp_path / "a.map"
    data = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)  # sections x, rows y, columns z
    with mrcfile.new(path) as file:
        file.set_data(data)
        file.header.mapc, file.header.mapr, file.header.maps = 3, 2, 1
        file.header.nxstart, file.header.nystart, file.header.nzstart = 5, 6, 7
        file.header.mx, file.header.my, file.header.mz = 2, 3, 4
        file.header.cella = (4.0, 6.0, 8.0)
    volume, info = read_map(path)
    np.testing.assert_array_equal(volume, data.transpose(2, 1, 0))
    assert info.voxel_size == (2.0, 2.0, 2.0)
    assert info.origin == (14.0, 12.0, 10.0)  # starts belong to columns, rows, sections


def test_maps_that_cannot_be_read(tmp_path):
    write_map(tmp_path / "a.mrc", np.zeros((4, 4, 4)), 1.0)
    (tmp_path / "a.mrc").write_bytes((tmp_path / "a.mrc").read_bytes()[:1100])
    with pytest.raises(CryoswayError, match="cut short: 1100 bytes of 1280"):
        read_map(tmp_path / "a.mrc")
    (tmp_path / "b.mrc.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(CryoswayError, match="cannot be decompressed"):
        read_map(tmp_path / "b.mrc.gz")
    with pytest.raises(CryoswayError, match="cannot read"):
        read_map(tmp_path / "none.mrc")
    with pytest.raises(CryoswayError, match=r"folder .* does not exist"):
        write_map(tmp_path / "no" / "a.mrc", np.zeros((2, 2, 2)), 1.0)
