"""Form images: project, apply junk, contrast, CTF and shift, add noise."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.engine import count_cpus
from cryosway.optics import (
    CtfParams,
    compute_ctf,
    fft2_half,
    half_plane_frequencies,
    ifft2_half,
    relion_euler_to_matrix,
    shift_images,
)
from cryosway.simulate._junk import make_junk
from cryosway.simulate._metadata import PARTICLE
from cryosway.simulate._noise import NoiseModel, build_noise_model, builtin_spectrum, read_spectrum
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._project import Projector
from cryosway.simulate._projectors import build_projector
from cryosway.simulate._states import States
from cryosway.simulate._streams import open_image_stream

IntArray = NDArray[np.intp]

#: Pixels of the images that are in memory at once.
_BLOCK_PIXELS = 2**21


class ImageFormer:
    """Makes images of given rows of the truth table; each is independent of the others.

    X(k) = g · scale · CTF(k) · exp(−B k²/4) · exp(−2πi k·t) · V̂_state(Rᵀ[k, 0]) + noise(k).

    Parameters
    ----------
    states
        What is projected.
    truth
        As of `draw_particles`.
    options
        Of the simulation.
    """

    def __init__(self, states: States, truth: pd.DataFrame, options: SimulateOptions) -> None:
        self._options = options
        self._threads = options.threads or count_cpus()
        self._projector: Projector = build_projector(states, options, self._threads)
        self._labels = truth["label"].to_numpy()
        self._states = truth["state"].to_numpy().astype(np.intp)
        self._rotations = relion_euler_to_matrix(truth["rot"], truth["tilt"], truth["psi"])
        shifts = truth[["shift_x", "shift_y"]].to_numpy(np.float64) / options.pixel_size
        # The written shift centres the particle: its content sits at minus that.
        self._displacements = torch.from_numpy(-shifts)
        self._scale = torch.from_numpy(truth["scale"].to_numpy(np.float32, copy=True))
        envelope = options.envelope_bfactor if options.ctf else 0.0
        optics = truth.drop(columns=["scale"]).assign(bfactor=envelope)
        self._ctf = CtfParams.from_table(optics, dtype=torch.float32)
        self._frequencies = half_plane_frequencies(options.box)
        self._noise = self._build_noise()

    def blocks(self, rows: IntArray) -> Iterator[IntArray]:
        """Split rows into blocks of a size that depends on the box alone."""
        size = max(16, _BLOCK_PIXELS // self._options.box**2)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def compute_ctf(self, rows: IntArray) -> Tensor:
        """CTF with envelope, without contrast: shape (B, D, D//2+1), float32."""
        params = self._ctf[torch.from_numpy(rows)]
        return compute_ctf(self._frequencies, params)

    def form_signals(self, rows: IntArray, ctf: Tensor) -> Tensor:
        """Clean half planes (B, D, D//2+1) after contrast, CTF and shift, before the gain."""
        planes = self._projector.project(self._states[rows], self._rotations[rows])
        signals = torch.from_numpy(planes)
        for position, row in enumerate(rows):
            if self._labels[row] != PARTICLE:
                signals[position] = self._make_junk(int(row), signals[position])
        contrast = ctf * self._scale[torch.from_numpy(rows)][:, None, None]
        return shift_images(signals * contrast, self._displacements[torch.from_numpy(rows)])

    def _make_junk(self, row: int, signal: Tensor) -> Tensor:
        rng = open_image_stream(self._options.seed, "junk", row)
        state = int(self._states[row])
        return make_junk(self._labels[row], signal, state, self._projector, rng)

    def find_gain(self) -> float:
        """Find the factor that gives the clean images of good particles the variance `snr`.

        The variance is pooled over the pixels of at most `snr_images` particles, evenly spaced;
        1 where there is no noise.
        """
        good = np.flatnonzero(self._labels == PARTICLE)
        good = good if len(good) else np.arange(len(self._labels))
        count = min(self._options.snr_images, len(good))
        rows = good[np.linspace(0, len(good) - 1, count).round().astype(np.intp)]
        pixels = self._options.box**2
        squares = total = 0.0
        for block in self.blocks(rows):
            signals = self.form_signals(block, self.compute_ctf(block))
            power = signals.abs().double().square()
            power[..., 1:-1] *= 2
            squares += float(power.sum()) / pixels
            total += float(signals[:, 0, 0].real.double().sum())
        mean = total / (count * pixels)
        variance = squares / (count * pixels) - mean**2
        return float(np.sqrt((self._options.snr or 1.0) / variance))

    def _build_noise(self) -> NoiseModel | None:
        """Build the model of coloured noise; None for white noise or none."""
        options = self._options
        if options.snr is None or options.noise == "white":
            return None
        if isinstance(options.noise, Path):
            spectrum = read_spectrum(options.noise, options.noise_entry)
        else:
            spectrum = builtin_spectrum()
        rows = np.linspace(0, options.n - 1, min(256, options.n)).round().astype(np.intp)
        sample = self.compute_ctf(rows)
        return build_noise_model(
            spectrum, options.box, options.pixel_size, sample, options.ice_fraction
        )

    def form_images(self, rows: IntArray, gain: float) -> NDArray[np.float32]:
        """Make the images of rows, shape (B, D, D), float32; their noise has variance 1."""
        ctf = self.compute_ctf(rows)
        planes = self.form_signals(rows, ctf) * gain
        if self._options.snr is None:
            return np.asarray(ifft2_half(planes).numpy())
        white = self._draw_white(rows)
        if self._noise is None:
            return np.asarray((ifft2_half(planes) + white).numpy())
        return np.asarray(ifft2_half(planes + self._noise.shape(fft2_half(white), ctf)).numpy())

    def _draw_white(self, rows: IntArray) -> Tensor:
        box, seed = self._options.box, self._options.seed
        images = np.empty((len(rows), box, box), np.float32)

        def fill(position: int) -> None:
            rng = open_image_stream(seed, "noise", int(rows[position]))
            rng.standard_normal(dtype=np.float32, out=images[position])

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(fill, range(len(rows)), chunksize=32))
        return torch.from_numpy(images)
