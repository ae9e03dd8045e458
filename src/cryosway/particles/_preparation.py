"""Image operations of `prepare`: centre, crop, whiten, normalise and window a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.particles._recentre import (
    Transforms,
    radius_grid,
    recentre_and_crop,
    resize_canvas,
    to_images,
)

Images = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

BACKGROUND_RADIUS = 0.75  # of half the box: farther out is background, as in RELION
_WINDOW = (0.85, 0.99)  # of half the box: from full to nothing
_OUTLIER_SD = 4.0
_SMALLEST_BOX = 8
_PIXELS_FOR_MEDIAN = 300
_IMAGES_AT_ONCE = 32  # small enough for the processor's cache


@dataclass(frozen=True)
class GroupGeometry:
    """How the images of one optics group get their new size.

    Attributes
    ----------
    size : int
        Pixels of the stored images.
    crop : int
        Pixels kept about the shifted centre, before downsampling.
    fourier_box : int
        Pixels after Fourier cropping.
    pixel_size : float
        Å per pixel afterwards.
    """

    size: int
    crop: int
    fourier_box: int
    pixel_size: float


@dataclass(frozen=True)
class PreparationSteps:
    """What is done to every image besides centring and cropping.

    Attributes
    ----------
    box : int
        Pixels of the images that are written.
    normalise : bool
        Background to mean 0 and standard deviation 1.
    window : bool
        Soft circular window.
    whitening : mapping of int to numpy.ndarray
        Optics group → filter on the half plane of its Fourier box; empty for none.
    """

    box: int
    normalise: bool
    window: bool
    whitening: Mapping[int, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class PreparedImages:
    """Images (n, box, box), float32, with the mean and sd of their backgrounds, (n,)."""

    images: Images
    background_mean: npt.NDArray[np.float32]
    background_sd: npt.NDArray[np.float32]


def even(value: float) -> int:
    """Round to the nearest even number, at least 2."""
    return max(2, 2 * round(value / 2))


def plan_geometry(
    sizes: Mapping[int, int],
    pixel_sizes: Mapping[int, float],
    *,
    crop: int | None,
    box: int | None,
    pixel_size: float | None,
) -> tuple[int, float, dict[int, GroupGeometry]]:
    """Choose how each optics group comes to the common box and pixel size.

    Parameters
    ----------
    sizes, pixel_sizes : mapping
        Pixels and Å per pixel of each optics group, the largest group first.
    crop : int or None
        Pixels (of the first group) to keep about the centre before downsampling.
    box : int or None
        Pixels of the result; with `pixel_size` as well, images are cropped or padded to it.
    pixel_size : float or None
        Å per pixel of the result.

    Returns
    -------
    box : int
        Pixels of the result.
    pixel_size : float
        Å per pixel of the result; single groups can differ from it by the rounding of their box.
    groups : dict
        The way of each group.

    Raises
    ------
    CryoswayError
        The result would be larger or finer than the images are, or odd, or tiny.
    """
    first = next(iter(sizes))
    for name, value in (("crop", crop), ("box", box)):
        if value is not None and (value % 2 or value < _SMALLEST_BOX):
            nearest = max(_SMALLEST_BOX, value + value % 2)
            message = (
                f"{name} must be even and at least {_SMALLEST_BOX}, not {value}; use {nearest}"
            )
            raise CryoswayError(message)
    crops = {
        g: _crop_of(size, crop, pixel_sizes[first] / pixel_sizes[g]) for g, size in sizes.items()
    }
    extents = {group: crops[group] * pixel_sizes[group] for group in sizes}
    finest = max(pixel_sizes.values())
    common = _common_pixel_size(extents, finest, box=box, pixel_size=pixel_size)
    groups = {}
    for group, size in sizes.items():
        fourier_box = min(even(extents[group] / common), crops[group] // 2 * 2)
        after = extents[group] / fourier_box
        groups[group] = GroupGeometry(size, crops[group], fourier_box, after)
    if len(groups) == 1:
        common = groups[first].pixel_size
    return box or max(g.fourier_box for g in groups.values()), common, groups


def _crop_of(size: int, crop: int | None, ratio: float) -> int:
    if crop is None:
        return size
    wanted = even(crop * ratio)
    if wanted > size:
        message = f"crop {crop} is larger than the images ({size} px); give a smaller one"
        raise CryoswayError(message)
    return wanted


def _common_pixel_size(
    extents: Mapping[int, float], finest: float, *, box: int | None, pixel_size: float | None
) -> float:
    largest = max(extents.values())
    if pixel_size is None:
        pixel_size = largest / box if box is not None else finest
        limit = "box", str(box), f"{even(largest / finest)} px or less"
    else:
        limit = "pixel size", f"{pixel_size:g} Å", f"{finest:g} Å or more"
    if pixel_size < finest * 0.999:
        name, value, advice = limit
        message = f"{name} {value} would need more detail than the images have; give {advice}"
        raise CryoswayError(message)
    return pixel_size


def prepare_images(
    images: Images,
    shifts_px: FloatArray,
    signs: npt.NDArray[np.int8],
    group: int,
    geometry: GroupGeometry,
    steps: PreparationSteps,
) -> PreparedImages:
    """Prepare images of one optics group.

    The order is: shift to the centre (with crop in real space where asked for) and Fourier crop,
    whitening, normalisation by the background, sign, window. The window comes after the shift,
    so that particles far off centre are not cut.

    Parameters
    ----------
    images : numpy.ndarray
        Shape (n, D, D), float32.
    shifts_px : numpy.ndarray
        Shape (n, 2), pixels of D.
    signs : numpy.ndarray
        Shape (n,): −1 inverts an image.
    group : int
        Their optics group.
    geometry : GroupGeometry
        Its sizes.
    steps : PreparationSteps
        What else to do.
    """
    parts = [slice(i, i + _IMAGES_AT_ONCE) for i in range(0, len(images), _IMAGES_AT_ONCE)]
    result = np.empty((len(images), steps.box, steps.box), np.float32)
    means, sds = np.zeros(len(images), np.float32), np.ones(len(images), np.float32)
    for part in parts:
        centred = _centre(images[part], shifts_px[part], geometry, steps.whitening.get(group))
        pixels = resize_canvas(centred, min(steps.box, geometry.fourier_box))
        if steps.normalise:
            means[part], sds[part] = _normalise(pixels)
        pixels *= signs[part, None, None]
        if steps.window:
            pixels *= circular_window(pixels.shape[-1])
        result[part] = resize_canvas(pixels, steps.box)
    return PreparedImages(result, means, sds)


def _centre(
    images: Images,
    shifts_px: FloatArray,
    geometry: GroupGeometry,
    whitening: npt.NDArray[np.float32] | None,
) -> Images:
    """Return new images, centred, of the group's Fourier box."""
    as_stored = geometry.fourier_box == geometry.size and not shifts_px.any()
    if as_stored and whitening is None:
        return images.copy()
    transforms = centred_transforms(images, shifts_px, geometry)
    if whitening is not None:
        transforms *= whitening
    return to_images(transforms)


def centred_transforms(
    images: Images, shifts_px: FloatArray, geometry: GroupGeometry
) -> Transforms:
    """Return the half planes of images centred and brought to the Fourier box of their group."""
    if geometry.crop < geometry.size:
        whole = to_images(recentre_and_crop(images, shifts_px, even(geometry.size - 0.5)))
        images = resize_canvas(whole, geometry.crop)
        shifts_px = np.zeros_like(shifts_px)
    return recentre_and_crop(images, shifts_px, geometry.fourier_box)


def _normalise(pixels: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Bring the background to mean 0 and sd 1, in place; flat images become 0."""
    mean, sd = measure_background(pixels)
    pixels -= mean[:, None, None]
    pixels *= np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)[:, None, None]
    return mean, sd


def measure_background(
    pixels: Images,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Measure mean and sd of each image outside 0.75 of the inscribed circle.

    Values farther than 4 sd from the middle (a hot pixel, gold, a neighbour) count as 4 sd; the
    middle and the sd for that are median and 1.4826 × median absolute deviation of some pixels.

    Returns
    -------
    mean, sd : numpy.ndarray
        Shape (n,), float32.
    """
    flat = pixels.reshape(len(pixels), -1)
    outside = flat[:, _background_pixels(pixels.shape[-1])]
    some = outside[:, :: max(1, outside.shape[1] // _PIXELS_FOR_MEDIAN)]
    middle = np.median(some, axis=1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(some - middle), axis=1, keepdims=True)
    reach = _OUTLIER_SD * np.where(spread > 0, spread, np.inf)  # few grey levels: nothing is cut
    np.clip(outside, middle - reach, middle + reach, out=outside)
    return np.asarray(outside.mean(axis=1)), np.asarray(outside.std(axis=1))


@lru_cache(maxsize=16)
def _background_pixels(box: int) -> npt.NDArray[np.int64]:
    return np.flatnonzero(radius_grid(box) >= BACKGROUND_RADIUS * box / 2)


@lru_cache(maxsize=16)
def circular_window(box: int) -> Images:
    """Return a disc with a raised-cosine edge from 0.85 to 0.99 of half the box."""
    start, end = (fraction * box / 2 for fraction in _WINDOW)
    phase = np.clip((radius_grid(box) - start) / (end - start), 0, 1)
    window = np.asarray(0.5 + 0.5 * np.cos(np.pi * phase), np.float32)
    window.setflags(write=False)
    return window
