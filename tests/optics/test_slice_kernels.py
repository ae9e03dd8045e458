"""The compiled kernels against their plain torch twins."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import cryosway.optics._slice_kernels as kernels
from cryosway.optics import extract_slices, insert_slices, make_disc, random_rotations

BOX, SIZE = 8, 16
VOXELS = SIZE * SIZE * (SIZE // 2 + 1)
POINTS = make_disc(BOX, BOX // 2 - 1).points.numpy()
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
precisions = pytest.mark.parametrize("precision", ["float32", "float64"])

AXIS_ALIGNED = np.array(
    [
        np.eye(3),
        np.diag([-1.0, 1, -1]),
        np.diag([1.0, -1, -1]),
        [[0.0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]],
    ]
)


def make_rotations(precision):
    """Ten random ones, and some whose points lie exactly on the grid and its seams."""
    random = random_rotations(10, np.random.default_rng(5))
    return np.concatenate([random, AXIS_ALIGNED]).astype(precision)


def make_grids(channels, precision):
    rng = np.random.default_rng(1)
    grids = rng.normal(size=(2, channels, VOXELS)).astype(precision)
    side_by_side = np.concatenate([grids[0], grids[1]]).T
    shape = (channels, SIZE, SIZE, SIZE // 2 + 1)
    return np.ascontiguousarray(side_by_side), torch.tensor(grids[0] + 1j * grids[1]).reshape(shape)


def make_images(n, channels, weights, precision, seed=2):
    rng = np.random.default_rng(seed)
    complex_type = np.result_type(precision, "complex64")
    values = rng.normal(size=(2, n, len(POINTS))).astype(precision)
    filters = rng.normal(size=(n, len(POINTS))).astype(precision)
    filters[:, 3] = 0  # a zero of the CTF
    moments = rng.normal(size=(n, channels + weights)).astype(precision)
    return (values[0] + 1j * values[1]).astype(complex_type), filters, moments


def scatter_plainly(rotations, values, filters, moments, channels):
    """The accumulator (voxels, 2C + Q) of all images, made with `insert_slices`."""
    rotations, points = torch.tensor(rotations), torch.tensor(POINTS)
    data = torch.tensor(filters * values)
    weights = torch.tensor(filters**2).to(data)
    columns = {"re": [], "im": [], "weight": []}
    for q, moment in enumerate(torch.tensor(moments).T):
        source = data if q < channels else weights
        grid = insert_slices(source * moment[:, None], rotations, points, SIZE).reshape(-1)
        if q < channels:
            columns["re"].append(grid.real)
            columns["im"].append(grid.imag)
        else:
            columns["weight"].append(grid.real)
    return torch.stack(columns["re"] + columns["im"] + columns["weight"], dim=1).numpy()


def scatter(rotations, images, part, *, parts, teams=1, channels):
    values, filters, moments = images
    width = channels + moments.shape[1]
    accumulators = np.zeros((parts, VOXELS, width), filters.dtype)
    points = POINTS.astype(filters.dtype)
    part = np.asarray(part, np.int64)
    kernels.scatter_slices(
        accumulators, rotations, points, values, filters, moments, part, SIZE, teams
    )
    return accumulators


@precisions
@pytest.mark.parametrize("channels", [1, 3])
def test_gathering_reads_the_slices_of_every_volume(precision, channels):
    rotations = make_rotations(precision)
    side_by_side, grids = make_grids(channels, precision)
    out = np.empty((len(rotations), len(POINTS), 2 * channels), precision)
    kernels.gather_slices(side_by_side, SIZE, rotations, POINTS.astype(precision), out)
    for c, grid in enumerate(grids):
        expected = extract_slices(grid, torch.tensor(rotations), torch.tensor(POINTS)).numpy()
        found = out[..., c] + 1j * out[..., channels + c]
        assert_allclose(found, expected, atol=TOLERANCE[precision] * abs(expected).max())


@precisions
@pytest.mark.parametrize(("channels", "weights"), [(1, 1), (3, 6), (2, 2)])
def test_scattering_inserts_data_and_weights_of_every_volume(precision, channels, weights):
    rotations = make_rotations(precision)
    images = make_images(len(rotations), channels, weights, precision)
    found = scatter(rotations, images, np.zeros(len(rotations)), parts=1, channels=channels)[0]
    expected = scatter_plainly(rotations, *images, channels)
    assert_allclose(found, expected, atol=TOLERANCE[precision] * abs(expected).max())
    assert (abs(found).max(axis=0) > 0).all()


@pytest.mark.parametrize("teams", [1, 2, 3])
def test_parts_take_their_own_images_however_many_threads_share_one(teams):
    rotations = make_rotations("float64")
    images = make_images(len(rotations), 2, 3, "float64")
    part = np.arange(len(rotations)) % 3 - 1  # −1: none
    found = scatter(rotations, images, part, parts=2, teams=teams, channels=2)
    for wanted in (0, 1):
        chosen = part == wanted
        expected = scatter_plainly(rotations[chosen], *(x[chosen] for x in images), 2)
        assert_allclose(found[wanted], expected, atol=1e-12)


def test_no_two_threads_of_a_team_write_to_one_voxel(monkeypatch):
    """Run the threads one by one, in plain Python: each fills its own planes z and no other."""
    teams = 3
    rotations = np.concatenate([make_rotations("float64")[:2], AXIS_ALIGNED])
    images = make_images(len(rotations), 1, 1, "float64")
    whole = scatter(rotations, images, np.zeros(len(rotations)), parts=1, channels=1)
    plain = {width: compiled.py_func for width, compiled in kernels._SCATTER.items()}
    monkeypatch.setattr(kernels, "_SCATTER", plain)
    total = np.zeros_like(whole)
    for member in range(teams):
        monkeypatch.setattr(kernels, "prange", lambda _, member=member: [member])
        written = scatter(
            rotations, images, np.zeros(len(rotations)), parts=1, teams=teams, channels=1
        )
        planes = abs(written[0]).reshape(SIZE, -1).max(axis=1).nonzero()[0]
        assert len(planes) > 2
        signed = np.where(planes < SIZE // 2, planes, planes - SIZE)
        assert (signed % teams == member).all()
        total += written
    assert_allclose(total, whole, atol=1e-12)


def test_scattering_adds_to_what_is_there():
    rotations = make_rotations("float64")
    n = len(rotations)
    images = make_images(n, 1, 1, "float64")
    whole = scatter(rotations, images, np.zeros(n), parts=1, channels=1)
    twice = np.zeros_like(whole)
    for half in (slice(0, 4), slice(4, n)):
        twice += scatter(
            rotations[half],
            tuple(x[half] for x in images),
            np.zeros(len(rotations[half])),
            parts=1,
            channels=1,
        )
    assert_allclose(twice, whole, atol=1e-12)


def test_kernels_are_adjoint():
    """Re ⟨gather(grid), values⟩ = ⟨grid, scatter(values)⟩ with unit filters and moments."""
    rotations = make_rotations("float64")
    n = len(rotations)
    side_by_side, _ = make_grids(1, "float64")
    values, filters, moments = make_images(n, 1, 1, "float64")
    filters, moments = np.ones_like(filters), np.ones_like(moments)
    slices = np.empty((n, len(POINTS), 2))
    kernels.gather_slices(side_by_side, SIZE, rotations, POINTS.astype(float), slices)
    spread = scatter(rotations, (values, filters, moments), np.zeros(n), parts=1, channels=1)[0]
    forward = (slices[..., 0] * values.real + slices[..., 1] * values.imag).sum()
    backward = (side_by_side * spread[:, :2]).sum()
    scale = np.linalg.norm(side_by_side) * np.linalg.norm(values)
    assert abs(forward - backward) < 1e-10 * scale
    assert abs(forward) > 1e-5 * scale
