"""Shading: from surfaces and a view to a picture, without a display."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryosway.report._raster import rasterise_triangles
from cryosway.report._surface import Surface

FloatArray = NDArray[np.floating]
KEY_LIGHT = np.array([-0.45, 0.55, 0.70]) / np.linalg.norm([-0.45, 0.55, 0.70])
FILL_LIGHT = np.array([0.70, -0.10, 0.70]) / np.linalg.norm([0.70, -0.10, 0.70])
EYE = np.array([0.0, 0.0, 1.0])
HALFWAY = (KEY_LIGHT + EYE) / np.linalg.norm(KEY_LIGHT + EYE)
SUPERSAMPLE = 2
"""Samples along each edge of a pixel, so that outlines are smooth."""


@dataclass(frozen=True)
class Actor:
    """A surface and how it is to be painted.

    Attributes
    ----------
    surface : Surface
        What is drawn.
    colour : ndarray, shape (3,) or (V, 3)
        sRGB between 0 and 1, one for all or one per vertex.
    opacity : float
        Below 1 the surface is a veil over what is opaque.
    """

    surface: Surface
    colour: FloatArray
    opacity: float = 1.0


@dataclass(frozen=True)
class Camera:
    """An orthographic camera that looks at the box's origin.

    Attributes
    ----------
    rotation : ndarray, shape (3, 3)
        Rows are the reference-frame directions of screen right, screen up and towards the eye.
    width_angstrom : float
        What the picture's width and height span, Å.
    pixels : int
        Width and height of the picture.
    centre : ndarray, shape (3,)
        The point (x, y, z) in the middle of the picture, Å from the box's origin.
    """

    rotation: FloatArray = field(default_factory=lambda: np.eye(3))
    width_angstrom: float = 100.0
    pixels: int = 320
    centre: FloatArray = field(default_factory=lambda: np.zeros(3))


@dataclass(frozen=True)
class _Layer:
    """What the camera sees of one actor: colours (H, W, 3) and depth (H, W), Å."""

    colour: FloatArray
    depth: FloatArray

    @property
    def covered(self) -> NDArray[np.bool_]:
        return np.isfinite(self.depth)


def render_scene(actors: Sequence[Actor], camera: Camera) -> NDArray[np.uint8]:
    """Draw surfaces with soft light, ambient occlusion and thin silhouettes.

    Parameters
    ----------
    actors : sequence of Actor
        Opaque ones hide each other by depth; veils are laid over them in the order given.
    camera : Camera
        View and size.

    Returns
    -------
    ndarray, shape (pixels, pixels, 4), uint8
        sRGB with alpha, row 0 at the top.
    """
    size = camera.pixels * SUPERSAMPLE
    picture = _Layer(
        np.ones((size, size, 3), np.float32), np.full((size, size), -np.inf, np.float32)
    )
    alpha = np.zeros((size, size), np.float32)
    for actor in sorted(actors, key=lambda actor: actor.opacity < 1.0):
        layer = _draw_actor(actor, camera, size)
        nearer = layer.covered & (layer.depth > picture.depth)
        share = np.where(nearer, np.float32(actor.opacity), np.float32(0.0))[..., None]
        solid = nearer if actor.opacity >= 1.0 else np.zeros_like(nearer)
        picture = _Layer(
            picture.colour * (1.0 - share) + layer.colour * share,
            np.where(solid, layer.depth, picture.depth),
        )
        alpha = np.maximum(alpha, share[..., 0])
    return _shrink(picture.colour, alpha)


def shade(normals: FloatArray, openness: FloatArray, colour: FloatArray) -> FloatArray:
    """Light a surface: wrapped Lambert from two lamps, a gentle Phong highlight, ambient light.

    Parameters
    ----------
    normals : ndarray, shape (..., 3)
        Unit normals in the camera's frame (right, up, towards the eye).
    openness : ndarray, shape (...)
        Ambient light that reaches the point, 0 to 1.
    colour : ndarray, shape (..., 3)
        sRGB of the surface.

    Returns
    -------
    ndarray, shape (..., 3)
        sRGB, 0 to 1.
    """
    key = np.clip((normals @ KEY_LIGHT.astype(normals.dtype) + 0.25) / 1.25, 0.0, 1.0)
    fill = np.clip((normals @ FILL_LIGHT.astype(normals.dtype) + 0.25) / 1.25, 0.0, 1.0)
    shine = np.clip(normals @ HALFWAY.astype(normals.dtype), 0.0, 1.0) ** 24
    diffuse = (0.22 + 0.66 * key + 0.22 * fill) * (0.30 + 0.70 * openness)
    linear = np.asarray(colour) ** 2.2 * (diffuse**1.35)[..., None]
    return np.asarray(np.clip(linear + 0.07 * (shine * openness)[..., None], 0.0, 1.0) ** (1 / 2.2))


def _draw_actor(actor: Actor, camera: Camera, size: int) -> _Layer:
    surface = actor.surface
    seen = (surface.vertices - camera.centre) @ np.asarray(camera.rotation).T
    scale = size / camera.width_angstrom
    middle = (size - 1) / 2
    points = np.stack([middle + seen[:, 0] * scale, middle - seen[:, 1] * scale, seen[:, 2]], 1)
    depth, face, weights = rasterise_triangles(points.astype(np.float32), surface.faces, size, size)
    colour = np.ones((size, size, 3), np.float32)
    covered = face >= 0
    if covered.any():
        colour[covered] = _shade_pixels(actor, camera, face[covered], weights[covered])
        pixel = camera.width_angstrom / size
        colour *= _outline(depth, step_angstrom=max(4.0, 0.03 * camera.width_angstrom), pixel=pixel)
    return _Layer(colour, depth)


def _shade_pixels(
    actor: Actor, camera: Camera, face: NDArray[np.int32], weights: NDArray[np.float32]
) -> FloatArray:
    """Interpolate what the vertices know to the pixels and light it."""
    corners = actor.surface.faces[face]
    b, c = weights[:, 0], weights[:, 1]
    shares = np.stack([1.0 - b - c, b, c], axis=1)
    normals = np.einsum("pc,pcd->pd", shares, actor.surface.normals[corners])
    normals = normals @ np.asarray(camera.rotation, np.float32).T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    openness = np.einsum("pc,pc->p", shares, actor.surface.openness[corners])
    colour = np.asarray(actor.colour, np.float32)
    if colour.ndim == 2:
        colour = np.einsum("pc,pcd->pd", shares, colour[corners])
    return shade(normals, openness, colour)


def _outline(depth: FloatArray, step_angstrom: float, pixel: float) -> FloatArray:
    """Darken pixels where the surface behind them drops away by more than a step."""
    filled = np.where(np.isfinite(depth), depth, -1e6)
    width = 3
    nearest = ndimage.maximum_filter(filled, size=width)
    jump = np.where(np.isfinite(depth), nearest - filled, 0.0)
    border = np.isfinite(depth) & (ndimage.minimum_filter(filled, size=width) < -1e5)
    steep = (jump > step_angstrom + 2.0 * pixel * width) | border
    return np.asarray(np.where(steep, np.float32(0.4), np.float32(1.0))[..., None])


def _shrink(colour: FloatArray, alpha: FloatArray) -> NDArray[np.uint8]:
    """Average blocks of pixels, colours weighted by their opacity."""
    rows = colour.shape[0] // SUPERSAMPLE
    blocks = (rows, SUPERSAMPLE, rows, SUPERSAMPLE)
    opacity = alpha.reshape(blocks).mean(axis=(1, 3))
    weighted = (colour * alpha[..., None]).reshape(*blocks, 3).mean(axis=(1, 3))
    paint = weighted / np.maximum(opacity, 1e-9)[..., None]
    return np.round(255 * np.dstack([paint, opacity])).clip(0, 255).astype(np.uint8)
