"""Compiled CPU kernels on pairs of beads: their distances, and who is near whom (numba)."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN202, SIM110
import numpy as np
from numba import njit, prange

_MOST_CELLS = 64  # along an axis


@njit(parallel=True, error_model="numpy", cache=True, nogil=True)
def measure_pairs(positions, pairs, lengths):
    """Fill lengths (n, E) with |x_i − x_j|; positions (n, N, 3), pairs (E, 2)."""
    for n in prange(positions.shape[0]):
        x = positions[n]
        for e in range(pairs.shape[0]):
            i, j = pairs[e, 0], pairs[e, 1]
            a, b, c = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            lengths[n, e] = np.sqrt(a * a + b * b + c * c)


@njit(parallel=True, error_model="numpy", cache=True, nogil=True)
def pull_pairs(positions, pairs, lengths, pulls, gradients):
    """Add to gradients (n, N, 3) those of Σ pulls · lengths; zero for pairs at one place."""
    for n in prange(positions.shape[0]):
        x, g = positions[n], gradients[n]
        for e in range(pairs.shape[0]):
            if lengths[n, e] == 0:
                continue
            i, j = pairs[e, 0], pairs[e, 1]
            f = pulls[n, e] / lengths[n, e]
            for axis in range(3):
                step = f * (x[i, axis] - x[j, axis])
                g[i, axis] += step
                g[j, axis] -= step


@njit(parallel=True, error_model="numpy", cache=True, nogil=True)
def stretch_springs(positions, pairs, lengths, stiffness, energies, gradients):
    """Fill energies (n,) with ½ Σ k (|x_i − x_j| − l)², and gradients (n, N, 3), in one pass.

    positions (n, N, 3), pairs (E, 2), lengths l and stiffness k (E,); pairs at one place feel no
    force, for it has no direction.
    """
    for n in prange(positions.shape[0]):
        x, g = positions[n], gradients[n]
        g[:] = 0
        total = 0.0
        for e in range(pairs.shape[0]):
            k = stiffness[e]
            if k == 0:
                continue
            i, j = pairs[e, 0], pairs[e, 1]
            a, b, c = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            distance = np.sqrt(a * a + b * b + c * c)
            pull = k * (distance - lengths[e])
            total += 0.5 * pull * (distance - lengths[e])
            if distance > 0:
                pull /= distance
                g[i, 0] += pull * a
                g[i, 1] += pull * b
                g[i, 2] += pull * c
                g[j, 0] -= pull * a
                g[j, 1] -= pull * b
                g[j, 2] -= pull * c
        energies[n] = total


@njit(inline="always")
def _cell(value, low, edge, cells):
    """Cell of a coordinate; one that is not a number goes to the first, where it meets nobody."""
    at = (value - low) / edge
    if not at > 0:
        return 0
    return cells - 1 if at >= cells else int(at)


@njit(nogil=True, cache=True)
def _sort_into_cells(x, reach, cells, place):
    """Sort beads by their cell: the order, and where each cell starts in it.

    Cells are no smaller than `reach`; those along the last axis lie side by side.
    """
    count = x.shape[0]
    edges, low = np.empty(3), np.empty(3)
    for axis in range(3):
        first, last = np.inf, -np.inf
        for i in range(count):
            if np.isfinite(x[i, axis]):
                first, last = min(first, x[i, axis]), max(last, x[i, axis])
        extent = max(0.0, last - first)
        low[axis] = first
        cells[axis] = int(min(max(extent / reach, 1.0), _MOST_CELLS))
        edges[axis] = max(reach, extent / cells[axis])
    starts = np.zeros(cells[0] * cells[1] * cells[2] + 1, np.int64)
    for i in range(count):
        for axis in range(3):
            place[i, axis] = _cell(x[i, axis], low[axis], edges[axis], cells[axis])
        starts[(place[i, 0] * cells[1] + place[i, 1]) * cells[2] + place[i, 2] + 1] += 1
    for cell in range(len(starts) - 1):
        starts[cell + 1] += starts[cell]
    order = np.empty(count, np.int64)
    fill = starts[:-1].copy()
    for i in range(count):
        cell = (place[i, 0] * cells[1] + place[i, 1]) * cells[2] + place[i, 2]
        order[fill[cell]] = i
        fill[cell] += 1
    return order, starts


@njit(inline="always")
def _is_listed(i, j, starts_of, partners):
    low, high = (i, j) if i < j else (j, i)
    for k in range(starts_of[low], starts_of[low + 1]):
        if partners[k] == high:
            return True
    return False


@njit(nogil=True, cache=True)
def _find_in_one(x, reach, starts_of, partners, out):
    """Count the close pairs of one set of beads, and write as many as `out` holds."""
    cells = np.empty(3, np.int64)
    place = np.empty((x.shape[0], 3), np.int64)
    order, starts = _sort_into_cells(x, reach, cells, place)
    near = x[order]
    square = reach * reach
    found = 0
    for at in range(len(order)):
        i = order[at]
        a, b, c = place[i, 0], place[i, 1], place[i, 2]
        left, right = max(c - 1, 0), min(c + 2, cells[2])
        # Half of the rows around, so that each pair is met once: of the own row what follows.
        for step in range(5):
            u = a + (step > 1)
            v = b if step == 0 else b + 1 if step == 1 else b + step - 3
            if u >= cells[0] or v < 0 or v >= cells[1]:
                continue
            row = (u * cells[1] + v) * cells[2]
            for k in range(at + 1 if step == 0 else starts[row + left], starts[row + right]):
                p, q = near[at, 0] - near[k, 0], near[at, 1] - near[k, 1]
                r = near[at, 2] - near[k, 2]
                if not p * p + q * q + r * r < square:
                    continue
                j = order[k]
                if _is_listed(i, j, starts_of, partners):
                    continue
                if found < out.shape[0]:
                    out[found, 0], out[found, 1] = min(i, j), max(i, j)
                found += 1
    return found


@njit(parallel=True, cache=True, nogil=True)
def find_close_pairs(positions, reach, starts_of, partners, out, counts):
    """Find the pairs nearer than `reach`, in each of n sets of beads, by a list of cells.

    positions (n, N, 3); bead i is spared its partners[starts_of[i] : starts_of[i + 1]], all > i.
    Pairs go to out (n, most, 2), as many as there is room for; counts (n,) are of all.
    """
    for n in prange(positions.shape[0]):
        counts[n] = _find_in_one(positions[n], reach, starts_of, partners, out[n])
