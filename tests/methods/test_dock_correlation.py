"""Fast correlations against slow ones."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryosway.methods._dock.correlation import (
    ENVELOPE,
    ModelPoints,
    ShiftSearch,
    make_kernel,
    splat_points,
)
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.refine import LocalFit, Placement
from cryosway.particles import MapInfo

BOX, PIXEL, RESOLUTION = 20, 4.0, 12.0


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(5)
    return ModelPoints.of(rng.normal(0, 8, (150, 3)) * [1.0, 1.5, 0.6], rng.uniform(1, 3, 150))


def density_of(points, rotation, centre):
    at = (points.coordinates @ rotation.T + centre) / PIXEL
    kernel = make_kernel(BOX, PIXEL, RESOLUTION)
    weights = torch.from_numpy(points.weights).float()
    return splat_points(torch.from_numpy(at).float()[None], weights, BOX, kernel)[0].numpy()


def test_splatted_points_have_the_transform_of_gaussians(points):
    density = density_of(points, np.eye(3), np.zeros(3))
    k = np.array([[1, 0, 0], [0, 2, 1], [3, -1, 2]]) / (BOX * PIXEL)  # (x, y, z), 1/Å
    grid = (np.stack(np.indices(density.shape)[::-1], axis=-1) - BOX // 2) * PIXEL
    for frequency in k:
        found = (density * np.exp(-2j * np.pi * grid @ frequency)).sum()
        phases = np.exp(-2j * np.pi * points.coordinates @ frequency)
        damping = np.exp(-(frequency @ frequency) * RESOLUTION**2)
        assert found == pytest.approx(damping * (points.weights @ phases), rel=0.01, abs=1.0)


def test_all_shifts_by_fft_are_those_one_by_one(points):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(BOX,) * 3).astype(np.float32)
    target = DockingMap.of(noise, MapInfo(PIXEL, (3.0, -2.0, 1.0)))
    search = ShiftSearch(target, RESOLUTION, points, torch.device("cpu"))
    rotation = Rotation.from_rotvec([0.5, 1.0, -0.3]).as_matrix()
    found = search.correlate(rotation[None])[0].numpy()
    density = density_of(points, rotation, np.zeros(3))
    inside = density > ENVELOPE * density.max()
    for shift in ((0, 0, 0), (3, 17, 8), (10, 1, 19)):
        for hand, image in enumerate((target, target.mirrored())):
            under = np.roll(image.density, [-s for s in shift], axis=(0, 1, 2))[inside]
            slow = np.corrcoef(density[inside], under)[0, 1]
            assert found[hand][shift] == pytest.approx(slow, abs=0.05)  # variance has a floor
        centre = target.centre + np.array(shift[::-1]) * PIXEL
        flat = int(np.ravel_multi_index(shift, (BOX,) * 3))
        wrapped = (search.place(flat) - centre) / (BOX * PIXEL)  # whole boxes
        np.testing.assert_allclose(wrapped, np.rint(wrapped), atol=1e-9)


def test_the_fit_climbs_to_where_the_model_is(points):
    true = Rotation.from_rotvec([0.2, -0.4, 0.9]).as_matrix()
    offset = np.array([3.3, -2.1, 5.7])
    target = DockingMap.of(density_of(points, true, offset), MapInfo(PIXEL, (7.0, 0.0, -4.0)))
    fit = LocalFit(target, points, RESOLUTION)
    start = Rotation.from_rotvec([0.2, 0.1, -0.15]).as_matrix() @ true
    found = fit.refine(Placement(start, target.centre + offset + [3.0, -2.0, 2.0], 0.0))
    wanted = Placement(true, target.centre + offset, 1.0)
    assert found.correlation > 0.97  # the map is filtered twice
    assert found.angle_to(wanted) < 2.0
    assert found.distance_to(wanted) < 0.4


def test_the_gradient_is_that_of_the_correlation(points):
    """The fit's step is along a numerical gradient of what `correlate` says."""
    target = DockingMap.of(density_of(points, np.eye(3), np.zeros(3)), MapInfo(PIXEL))
    fit = LocalFit(target, points, RESOLUTION)
    centre = target.centre + np.array([1.3, 0.7, -2.2])
    place = torch.from_numpy(centre).requires_grad_()
    fit._correlate(torch.eye(3, dtype=torch.float64), place).backward()
    step = 0.05
    for axis in range(3):
        move = step * np.eye(3)[axis]
        up, down = (fit.correlate(np.eye(3), centre + s * move) for s in (1, -1))
        assert float(place.grad[axis]) == pytest.approx((up - down) / (2 * step), abs=3e-3)
