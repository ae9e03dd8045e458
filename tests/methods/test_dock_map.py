"""The place of a map: padding, sampling and mirroring keep its voxels where they are."""

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.methods import DockingMap
from cryosway.particles import MapInfo, write_map


def blob_map(shape, at, pixel_size=2.0, origin=(-10.0, 5.0, 3.0), sigma=4.0):
    """A Gaussian at (x, y, z) Å, sampled on a grid with an origin."""
    axes = [np.arange(n) * pixel_size + o for n, o in zip(shape, origin[::-1], strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    square = (x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2
    density = np.exp(-square / (2 * sigma**2)).astype(np.float32)
    return density, MapInfo(pixel_size, origin, (pixel_size,) * 3)


def centre_of_mass(target):
    z, y, x = np.indices(target.density.shape)
    weights = np.clip(target.density, 0.02, None) - 0.02
    voxels = [float((axis * weights).sum() / weights.sum()) for axis in (x, y, z)]
    return np.array(voxels) * target.pixel_size + target.origin


AT = (20.0, 31.0, 38.0)


@pytest.mark.parametrize("shape", [(32, 32, 32), (31, 27, 36), (25, 25, 25)])
def test_padding_to_an_even_cube_leaves_density_where_it_is(shape):
    target = DockingMap.of(*blob_map(shape, AT))
    assert target.box % 2 == 0
    assert target.density.shape == (target.box,) * 3
    np.testing.assert_allclose(centre_of_mass(target), AT, atol=0.05)


def test_sampling_leaves_density_where_it_is():
    coarse = DockingMap.of(*blob_map((48, 48, 48), AT)).resample(16.0, 3.0)
    assert coarse.box == 18
    np.testing.assert_allclose(centre_of_mass(coarse), AT, atol=0.1)


def test_the_mirror_is_about_the_centre_plane():
    target = DockingMap.of(*blob_map((32, 32, 32), AT))
    x, y, z = target.centre
    found = centre_of_mass(target.mirrored())
    np.testing.assert_allclose(found, [AT[0], AT[1], 2 * z - AT[2]], atol=0.05)
    np.testing.assert_allclose(target.mirrored().mirrored().density, target.density)
    np.testing.assert_allclose((x, y, z), target.origin + 16 * 2.0)


def test_the_header_is_heeded(tmp_path):
    density, info = blob_map((32, 32, 32), AT)
    write_map(tmp_path / "map.mrc", density, info.pixel_size, info.origin)
    target = DockingMap.read(tmp_path / "map.mrc")
    np.testing.assert_allclose(centre_of_mass(target), AT, atol=0.05)


def test_maps_that_cannot_be_docked_into_are_refused(tmp_path):
    density, _ = blob_map((16, 16, 16), AT)
    with pytest.raises(CryoswayError, match=r"m.mrc has no voxel size"):
        DockingMap.of(density, MapInfo(0.0), "m.mrc")
    with pytest.raises(CryoswayError, match=r"voxels of 1 × 1 × 2 Å; resample"):
        DockingMap.of(density, MapInfo(1.0, voxel_size=(1.0, 1.0, 2.0)), "m.mrc")
    with pytest.raises(CryoswayError, match="holds no density"):
        DockingMap.of(np.zeros_like(density), MapInfo(1.0), "m.mrc")
