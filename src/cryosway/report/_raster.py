"""A z-buffered triangle rasteriser: the one compiled kernel of the software renderer."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def rasterise_triangles(
    points: NDArray[np.float32], faces: NDArray[np.int32], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Find, for every pixel, the nearest triangle that covers it.

    Orthographic: pixel centres lie at integer coordinates, larger depth is nearer to the eye.
    The uncompiled function (``rasterise_triangles.py_func``) is its slow twin.

    Parameters
    ----------
    points : ndarray, shape (V, 3), float32
        Column, row (pixels) and depth (any unit) of every vertex.
    faces : ndarray, shape (F, 3), int32
        Vertex numbers of every triangle.
    height, width : int
        Size of the picture in pixels.

    Returns
    -------
    depth : ndarray, shape (height, width), float32
        Depth of the nearest surface; -inf where there is none.
    face : ndarray, shape (height, width), int32
        Number of the nearest triangle; -1 where there is none.
    weights : ndarray, shape (height, width, 2), float32
        Barycentric weights of the triangle's second and third vertex.
    """
    depth = np.full((height, width), -np.inf, np.float32)
    face = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2), np.float32)
    for number in range(faces.shape[0]):
        ax, ay, az = points[faces[number, 0]]
        bx, by, bz = points[faces[number, 1]]
        cx, cy, cz = points[faces[number, 2]]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        first_row = max(0, int(np.ceil(min(ay, by, cy))))
        last_row = min(height - 1, int(np.floor(max(ay, by, cy))))
        first_column = max(0, int(np.ceil(min(ax, bx, cx))))
        last_column = min(width - 1, int(np.floor(max(ax, bx, cx))))
        for row in range(first_row, last_row + 1):
            for column in range(first_column, last_column + 1):
                b = ((column - ax) * (cy - ay) - (row - ay) * (cx - ax)) / area
                c = ((bx - ax) * (row - ay) - (by - ay) * (column - ax)) / area
                if b < 0.0 or c < 0.0 or b + c > 1.0:
                    continue
                z = az + b * (bz - az) + c * (cz - az)
                if z > depth[row, column]:
                    depth[row, column] = z
                    face[row, column] = number
                    weights[row, column, 0] = b
                    weights[row, column, 1] = c
    return depth, face, weights
