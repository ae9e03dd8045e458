"""Routes between places of a landscape: straight, from particle to particle, over the passes."""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
from scipy.spatial import cKDTree

from cryosway._errors import CryoswayError

FloatArray = NDArray[np.floating]
Cell = tuple[int, int]
GRAPH_AT_MOST = 20_000


def route_straight(points: FloatArray, count: int) -> FloatArray:
    """Place points evenly along straight pieces.

    Parameters
    ----------
    points : ndarray, shape (P, K)
        Where the pieces meet.
    count : int
        How many points.

    Returns
    -------
    ndarray, shape (count, K)

    Examples
    --------
    >>> route_straight(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]]), 3)
    array([[0., 0.],
           [2., 0.],
           [2., 2.]])
    """
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(wanted, along, column) for column in points.T], axis=1)


def route_by_graph(
    coordinates: FloatArray,
    anchors: FloatArray,
    *,
    neighbours: int = 10,
    graph_at_most: int = GRAPH_AT_MOST,
) -> FloatArray:
    """Go from particle to particle, in steps as short as can be.

    The shortest path in the graph of nearest neighbours, whose edges cost the square of their
    length, so that it keeps to where particles are; the minimum spanning tree is in the graph, so
    that there is always one. Of large sets an even sample makes the graph.

    Parameters
    ----------
    coordinates : ndarray, shape (N, K)
        Principal coordinates of the particles.
    anchors : ndarray, shape (P, K)
        Where to begin, to pass and to end; the nearest particles stand for them.
    neighbours : int
        Of each particle in the graph.
    graph_at_most : int
        Particles in the graph.

    Returns
    -------
    ndarray, shape (M, K)
        The particles on the way.
    """
    sample = coordinates[:: max(1, -(-len(coordinates) // graph_at_most))]
    tree = cKDTree(sample)
    stops = _find_nearest(tree, anchors, 1)[1][:, 0]
    graph = _join_neighbours(sample, tree, min(neighbours, len(sample) - 1))
    way = [int(stops[0])]
    for start, end in itertools.pairwise(stops):
        _, before = dijkstra(graph, directed=False, indices=end, return_predecessors=True)
        here = int(start)
        while here != end:
            here = int(before[here])
            way.append(here)
    return np.asarray(sample[way])


def _find_nearest(
    tree: "cKDTree[None, None]", points: FloatArray, count: int
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Give distances and indices of the nearest points of a tree, each of shape (n, count)."""
    distances, near = tree.query(points, k=list(range(1, count + 1)))
    return np.asarray(distances), np.asarray(near)


def _join_neighbours(
    sample: FloatArray, tree: "cKDTree[None, None]", neighbours: int
) -> sparse.csr_matrix:
    """Make the graph of nearest neighbours, connected."""
    distances, near = _find_nearest(tree, sample, neighbours + 1)
    rows = np.repeat(np.arange(len(sample)), neighbours)
    costs = np.maximum(distances[:, 1:].ravel() ** 2, 1e-12)
    graph = sparse.csr_matrix((costs, (rows, near[:, 1:].ravel())), shape=(len(sample),) * 2)
    graph = graph.maximum(graph.T)
    count, parts = sparse.csgraph.connected_components(graph, directed=False)
    if count == 1:
        return graph
    return graph.maximum(_bridge_parts(sample, parts, count))


def _bridge_parts(sample: FloatArray, parts: NDArray[np.integer], count: int) -> sparse.csr_matrix:
    """Join the parts of a graph where they are nearest to each other, by a spanning tree."""
    groups = [np.flatnonzero(parts == number) for number in range(count)]
    gaps = np.zeros((count, count))
    ends = np.zeros((count, count, 2), np.int64)
    for a, mine in enumerate(groups):
        tree = cKDTree(sample[mine])
        for b in range(a):
            distances, near = _find_nearest(tree, sample[groups[b]], 1)
            best = int(distances.argmin())
            gaps[a, b] = max(float(distances[best, 0]), 1e-9)
            ends[a, b] = mine[near[best, 0]], groups[b][best]
    bridges = np.argwhere(minimum_spanning_tree(gaps).toarray() > 0)
    rows, columns = np.array([ends[a, b] for a, b in bridges]).T
    costs = np.array([gaps[a, b] ** 2 for a, b in bridges])
    graph = sparse.csr_matrix((costs, (rows, columns)), shape=(len(sample),) * 2)
    return graph.maximum(graph.T)


def route_by_energy(
    axes: tuple[FloatArray, FloatArray], energy: FloatArray, anchors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Find the way over the lowest passes of a free energy in a plane.

    The path that least resists a current: ∫ exp(F / kT) ds is smallest (maximum flux; Berkowitz,
    Morgan, McCammon and Northrup, J. Chem. Phys. 79, 5563, 1983), by Dijkstra's algorithm on the
    grid, then smoothed over two cells.

    Parameters
    ----------
    axes : tuple of ndarray, shapes (G₁,) and (G₂,)
        Coordinates of the grid.
    energy : ndarray, shape (G₁, G₂)
        Free energy, kT.
    anchors : ndarray, shape (P, 2)
        Where to begin, to pass and to end.

    Returns
    -------
    points : ndarray, shape (M, 2)
        The path.
    energies : ndarray, shape (M,)
        Free energy along it, kT.

    Raises
    ------
    CryoswayError
        When an anchor is off the grid.
    """
    from scipy.interpolate import RegularGridInterpolator

    cells = [_find_cell(axes, anchor) for anchor in anchors]
    cost = np.exp(energy - energy.max())
    way: list[Cell] = []
    for start, end in itertools.pairwise(cells):
        found = _cross_pass(cost, start, end)
        way += found if not way else found[1:]
    x, y = np.array(way).T
    points = np.stack([axes[0][x], axes[1][y]], axis=1)
    points[0], points[-1] = anchors[0], anchors[-1]
    smooth = gaussian_filter1d(points, 2.0, axis=0, mode="nearest")
    smooth[0], smooth[-1] = points[0], points[-1]
    look_up = RegularGridInterpolator(axes, energy, bounds_error=False, fill_value=None)
    return smooth, np.asarray(look_up(smooth))


def _cross_pass(cost: FloatArray, start: Cell, end: Cell) -> list[Cell]:
    """Find the cheapest way from a cell to another, going up to its pass from either side.

    Costs span tens of kT: beyond the pass, what a step costs would be lost in rounding.
    """
    from skimage.graph import route_through_array

    def climb(start: Cell, end: Cell) -> list[Cell]:
        found, _ = route_through_array(cost, start, end, fully_connected=True, geometric=True)
        return [(int(x), int(y)) for x, y in found]

    top = max(climb(start, end), key=lambda cell: float(cost[cell]))
    return climb(start, top) + climb(end, top)[-2::-1]


def _find_cell(axes: tuple[FloatArray, FloatArray], anchor: FloatArray) -> Cell:
    places = []
    for number, (axis, value) in enumerate(zip(axes, anchor, strict=True), start=1):
        step = axis[1] - axis[0]
        if not axis[0] - step <= value <= axis[-1] + step:
            message = (
                f"an end of the path is at {value:.3g} along direction {number}, where there is no "
                f"particle: give a place between {axis[0]:.3g} and {axis[-1]:.3g}"
            )
            raise CryoswayError(message)
        places.append(int(np.abs(axis - value).argmin()))
    return places[0], places[1]


def fill_other_coordinates(
    path: FloatArray, coordinates: FloatArray, width: float = 1.0
) -> FloatArray:
    """Add the coordinates that a path does not give: the mean of the particles around it.

    Parameters
    ----------
    path : ndarray, shape (P, d)
        Leading coordinates.
    coordinates : ndarray, shape (N, K)
        Principal coordinates of the particles.
    width : float
        Of the Gaussian kernel that weighs the particles, posterior s.d.

    Returns
    -------
    ndarray, shape (P, K)
    """
    size = path.shape[1]
    filled = np.empty((len(path), coordinates.shape[1]))
    for place, here in enumerate(path):
        squares = ((coordinates[:, :size] - here) ** 2).sum(axis=1)
        weights = np.exp(-0.5 * (squares - squares.min()) / width**2)
        filled[place] = weights @ coordinates / weights.sum()
    filled[:, :size] = path
    return filled
