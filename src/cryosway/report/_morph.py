"""A traversal as pictures: a strip of isosurfaces, and a short animation."""

import io
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cryosway.report._map_figures import TURNS, draw_maps
from cryosway.report._scene import Actor, Camera, render_scene
from cryosway.report._style import PATH_COLOURS, RED
from cryosway.report._surface import Surface, build_surface
from cryosway.report._threshold import choose_threshold
from cryosway.report._viewpoint import choose_view, fit_camera, turn_view

FloatArray = NDArray[np.floating]
Colour = tuple[float, float, float]
BETWEEN = 2
"""Frames from one map to the next."""
FRAME_MILLISECONDS = 100
MOST_BYTES = 900_000
"""A movie that grows beyond this is drawn smaller, so that the page can be mailed."""
FINEST = 90
GAP_CAPTION = "next to no particles here"


def path_colours(count: int) -> list[Colour]:
    """Give the points of a traversal colours from blue to orange."""
    ramp = PATH_COLOURS(np.linspace(0.0, 1.0, max(count, 2)))[:count]
    return [(float(r), float(g), float(b)) for r, g, b, _ in ramp]


def draw_morph_strip(
    volumes: Sequence[FloatArray],
    pixel_size: float,
    labels: Sequence[str],
    *,
    threshold: float | None = None,
    view: FloatArray | None = None,
) -> Figure:
    """Draw the maps along a traversal side by side, from the view that shows the change best.

    Parameters
    ----------
    volumes : sequence of ndarray, shape (D, D, D)
        Maps in the order of the traversal.
    pixel_size : float
        Å per voxel.
    labels : sequence of str
        A caption for each.
    threshold : float, optional
        Contour level of all; chosen from their mean where not given.
    view : ndarray, shape (3, 3), optional
        Rotation.

    Returns
    -------
    matplotlib.figure.Figure
    """
    level, rotation = choose_level_and_view(volumes, threshold, view)
    return draw_maps(
        dict(zip(labels, volumes, strict=True)),
        pixel_size,
        threshold=level,
        view=rotation,
        colours=path_colours(len(volumes)),
        columns=len(volumes),
    )


def animate_morph(
    volumes: Sequence[FloatArray],
    pixel_size: float,
    *,
    threshold: float | None = None,
    view: FloatArray | None = None,
    pixels: int = 230,
) -> bytes:
    """Make an animation that runs to and fro along a traversal, seen from two sides.

    Between neighbouring maps the density is interpolated linearly, for the eye only.

    Parameters
    ----------
    volumes : sequence of ndarray, shape (D, D, D)
        Maps in the order of the traversal.
    pixel_size : float
        Å per voxel.
    threshold : float, optional
        Contour level of all; chosen from their mean where not given.
    view : ndarray, shape (3, 3), optional
        Rotation.
    pixels : int
        Height of the picture; its width is twice that. Smaller where the file would get large.

    Returns
    -------
    bytes
        An animated GIF that loops.
    """
    level, rotation = choose_level_and_view(volumes, threshold, view)
    frames = list(interpolate_maps(volumes))
    surfaces = [build_surface(frame, pixel_size, level, finest=FINEST) for frame in frames]
    for size in (pixels, 3 * pixels // 4, pixels // 2):
        data = _draw_movie(surfaces, fit_camera(surfaces, rotation, size))
        if len(data) <= MOST_BYTES:
            break
    return data


def encode_gif(
    images: Sequence[Image.Image], milliseconds: int = FRAME_MILLISECONDS, colours: int = 64
) -> bytes:
    """Encode pictures as a looping GIF, the same bytes for the same pictures.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        RGB frames of one size.
    milliseconds : int
        Each frame is shown for.
    colours : int
        Of each frame, 256 at most.

    Returns
    -------
    bytes
    """
    paletted = [image.quantize(colours, dither=Image.Dither.NONE) for image in images]
    stream = io.BytesIO()
    paletted[0].save(
        stream, format="GIF", save_all=True, append_images=paletted[1:], loop=0,
        duration=milliseconds, optimize=False, disposal=1,
    )  # fmt: skip
    return stream.getvalue()


def interpolate_maps(volumes: Sequence[FloatArray], between: int = BETWEEN) -> Iterator[FloatArray]:
    """Give each map and those between it and the next one: (n − 1) × between + 1 of them."""
    for here, there in itertools.pairwise(volumes):
        for share in np.arange(between) / between:
            yield (1.0 - share) * here + share * there
    yield volumes[-1]


def draw_frame(
    actors: Sequence[Actor], camera: Camera, turns: Sequence[float] = TURNS
) -> Image.Image:
    """Draw a scene on white, seen from several sides beside each other."""
    pictures = []
    for turn in turns:
        turned = turn_view(camera.rotation, turn)
        seen = Camera(turned, camera.width_angstrom, camera.pixels, camera.centre)
        pictures.append(render_scene(actors, seen))
    picture = Image.fromarray(np.concatenate(pictures, axis=1))
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def add_caption(image: Image.Image, text: str) -> Image.Image:
    """Write a line of text at the lower left of a picture."""
    captioned = image.copy()
    size = max(10, image.height // 16)
    place = (size // 2, image.height - size // 2)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(captioned).text(place, text, fill=RED, anchor="ls", font=font)
    return captioned


def choose_level_and_view(
    volumes: Sequence[FloatArray], threshold: float | None = None, view: FloatArray | None = None
) -> tuple[float, FloatArray]:
    """Choose one contour level for all maps, and the view that shows their change best."""
    mean = np.mean(np.asarray(volumes), axis=0)
    level = choose_threshold(mean) if threshold is None else threshold
    change = np.asarray(volumes[-1]) - np.asarray(volumes[0])
    return level, choose_view(mean, level, change) if view is None else view


def _draw_movie(surfaces: Sequence[Surface], camera: Camera) -> bytes:
    colours = path_colours(len(surfaces))
    images = [
        draw_frame([Actor(surface, np.array(colour))], camera)
        for surface, colour in zip(surfaces, colours, strict=True)
    ]
    return encode_gif([*images, *images[-2:0:-1]])
