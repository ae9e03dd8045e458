"""Centring and Fourier cropping of images in one transform."""

import numpy as np
import numpy.typing as npt
import scipy.fft

Images = npt.NDArray[np.float32]
Transforms = npt.NDArray[np.complex64]
FloatArray = npt.NDArray[np.float64]


def recentre_and_crop(images: Images, shifts_px: FloatArray, box: int) -> Transforms:
    """Shift images and keep their low frequencies.

    The content at pixel D//2 − shift comes to pixel box/2: phases exp(−2πi k·t) with
    t = shift/D − (D//2)/D + 1/2 do both at once. Values keep their level: the transform is
    scaled by (box/D)². The new Nyquist row and column, which stand for two frequencies each, are
    dropped when the box gets smaller.

    Parameters
    ----------
    images : numpy.ndarray
        Shape (n, D, D), float32; D may be odd.
    shifts_px : numpy.ndarray
        Shape (n, 2), pixels, (x, y): the shift that centres the image.
    box : int
        New size, even, at most D (D + 1 where D is odd).

    Returns
    -------
    numpy.ndarray
        Shape (n, box, box//2+1), complex64: ``scipy.fft.irfft2`` of it is the centred image.
    """
    size = images.shape[-1]
    columns = min(box, size) // 2 + 1
    half: Transforms = scipy.fft.rfft2(images, axes=(-2, -1))[:, :, :columns]
    rows = np.fft.fftfreq(box, 1 / box).astype(np.int64)  # signed frequencies of the new rows
    kept = np.abs(rows) <= (size - 1) // 2 if box != size else np.ones(box, bool)
    result = np.zeros((len(images), box, box // 2 + 1), np.complex64)
    phase_y = _phases(rows[kept], shifts_px[:, 1], size, box)
    phase_x = _phases(np.arange(columns), shifts_px[:, 0], size, box)
    result[:, kept, :columns] = half[:, rows[kept] % size, :]
    result[:, kept, :columns] *= phase_y[:, :, None] * phase_x[:, None, :]
    if box < size:
        result[:, box // 2, :] = 0
        result[:, :, box // 2] = 0
    return result


def _phases(
    frequencies: npt.NDArray[np.int64], shift: FloatArray, size: int, box: int
) -> Transforms:
    """Return phases and scale along one axis, shape (n, frequencies)."""
    turns = shift / size - (size // 2) / size + 0.5
    phases = np.exp(-2j * np.pi * (turns[:, None] * frequencies % 1.0)) * (box / size)
    return np.asarray(phases, np.complex64)


def to_images(transforms: Transforms) -> Images:
    """Transform half planes (n, box, box//2+1) back to images (n, box, box), float32."""
    box = transforms.shape[-2]
    return np.asarray(scipy.fft.irfft2(transforms, s=(box, box), axes=(-2, -1)), np.float32)


def resize_canvas(images: Images, box: int) -> Images:
    """Crop or pad images with zeros about their centre, pixel D/2, to a new even size."""
    size = images.shape[-1]
    if box == size:
        return images
    start = abs(size // 2 - box // 2)
    if box < size:
        return images[:, start : start + box, start : start + box]
    padded = np.zeros((len(images), box, box), images.dtype)
    padded[:, start : start + size, start : start + size] = images
    return padded


def radius_grid(box: int) -> npt.NDArray[np.float32]:
    """Return the distance of each pixel from pixel box/2, shape (box, box), pixels."""
    along = np.arange(box, dtype=np.float32) - box // 2
    return np.hypot(along[:, None], along[None, :])
