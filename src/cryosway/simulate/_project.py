"""Project densities to half-plane Fourier images, one class for each way."""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cryosway._errors import CryoswayError
from cryosway.optics import fft2_half
from cryosway.simulate._scattering import AtomGroup

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complexfloating[Any, Any]]
IntArray = NDArray[np.intp]


def has_finufft() -> bool:
    """Say whether the extra finufft is installed."""
    return find_spec("finufft") is not None


def require_finufft() -> None:
    """Raise the sentence that names the extra where finufft is missing."""
    if not has_finufft():
        msg = (
            "projector='nufft' needs finufft; install it with: pip install 'cryosway[nufft]', "
            "or use projector='direct'"
        )
        raise CryoswayError(msg)


class Projector(ABC):
    """Projects the densities of states; the unpaired Nyquist frequency is always zero."""

    box: int

    @abstractmethod
    def project(self, states: IntArray, rotations: FloatArray) -> ComplexArray:
        """Project states (B,) in views (B, 3, 3), x_image = R x_reference.

        Returns
        -------
        Shape (B, D, D//2+1), complex64: centred half planes as of `optics.fft2_half`.
        """


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    with threadpool_limits(limits=1, user_api="blas"):
        yield


class AtomProjector(Projector):
    """Shared by the exact projectors of atoms: F(k) = Σ f(|k|) w exp(−2πi k·(R r)).

    Parameters
    ----------
    states
        Groups of atoms of each state; coordinates in Å about the centre of the box.
    box, pixel_size
        Pixels; Å per pixel.
    threads
        Images in flight at once.
    """

    def __init__(
        self,
        states: Sequence[Sequence[AtomGroup]],
        box: int,
        pixel_size: float,
        *,
        threads: int = 1,
        dtype: type[np.complex64] | type[np.complex128] = np.complex64,
    ) -> None:
        self.box = box
        self.dtype = np.dtype(dtype)
        self._real = np.dtype(np.float32 if self.dtype == np.complex64 else np.float64)
        self._threads = threads
        self._states = [
            [(g.coordinates / pixel_size, g.weights, self._profile(g, pixel_size)) for g in groups]
            for groups in states
        ]

    def _profile(self, group: AtomGroup, pixel_size: float) -> FloatArray:
        """Form factor on the half plane, zero at the Nyquist row and column."""
        ky, kx = np.fft.fftfreq(self.box), np.fft.rfftfreq(self.box)
        profile = group.form_factor.evaluate((ky[:, None] ** 2 + kx[None] ** 2) / pixel_size**2)
        profile[self.box // 2] = 0
        profile[:, self.box // 2] = 0
        return profile.astype(self._real)

    def project(self, states: IntArray, rotations: FloatArray) -> ComplexArray:
        out = np.empty((len(states), self.box, self.box // 2 + 1), self.dtype)

        def work(image: int) -> None:
            total = out[image]
            total[...] = 0
            for coordinates, weights, profile in self._states[int(states[image])]:
                # Rows x and y of R give the coordinates in the image, in pixels.
                xy = coordinates @ rotations[image, :2].T
                total += profile * self._sum_phases(xy, weights)

        with _one_blas_thread():
            if self._threads == 1:
                for image in range(len(states)):
                    work(image)
            else:
                with ThreadPoolExecutor(self._threads) as pool:
                    list(pool.map(work, range(len(states)), chunksize=16))
        return out

    @abstractmethod
    def _sum_phases(self, xy: FloatArray, weights: FloatArray) -> ComplexArray:
        """Σ w exp(−2πi k·xy) on the half plane, xy (N, 2) in pixels."""


class DirectProjector(AtomProjector):
    """Direct summation, exact to rounding.

    exp(−2πi(kx x + ky y)) factorises, so a sum over N atoms is one product of matrices
    (D × N) · (N × D/2+1).
    """

    def _sum_phases(self, xy: FloatArray, weights: FloatArray) -> ComplexArray:
        half = self.box // 2
        total = np.zeros((self.box, half + 1), np.complex128)
        chunk = max(1, 2**22 // self.box)
        for start in range(0, len(xy), chunk):
            x, y = xy[start : start + chunk].T
            phase_x = _powers(np.exp(-2j * np.pi * x / self.box), half)
            phase_y = _powers(np.exp(-2j * np.pi * y / self.box), half)
            rows = np.concatenate([phase_y[:half], phase_y[half:0:-1].conj()])
            left = (rows * weights[start : start + chunk]).astype(self.dtype)
            total += left @ phase_x.T.astype(self.dtype)
        return total


def _powers(base: ComplexArray, highest: int) -> ComplexArray:
    """base⁰ … base^highest, shape (highest + 1, N)."""
    table = np.empty((highest + 1, len(base)), np.complex128)
    table[0] = 1
    np.cumprod(np.broadcast_to(base, (highest, len(base))), axis=0, out=table[1:])
    return table


class NufftProjector(AtomProjector):
    """Sum over atoms by a type-1 non-uniform FFT (finufft), exact to `eps`."""

    def __init__(
        self,
        states: Sequence[Sequence[AtomGroup]],
        box: int,
        pixel_size: float,
        *,
        threads: int = 1,
        dtype: type[np.complex64] | type[np.complex128] = np.complex64,
    ) -> None:
        require_finufft()
        super().__init__(states, box, pixel_size, threads=threads, dtype=dtype)
        # Oversampling by 1.25 instead of 2 costs a wider kernel and saves most of the FFT, but
        # works in double precision only and not to full precision.
        quick = self.dtype == np.complex64
        self._settings = {"eps": 1e-6, "upsampfac": 1.25} if quick else {"eps": 1e-12}
        self._plans = threading.local()

    def _plan(self) -> Any:
        plan = getattr(self._plans, "plan", None)
        if plan is None:
            import finufft

            plan = finufft.Plan(
                1,
                (self.box, self.box),
                isign=-1,
                dtype="complex128",
                nthreads=1,
                modeord=1,
                **self._settings,
            )
            self._plans.plan = plan
        return plan

    def _sum_phases(self, xy: FloatArray, weights: FloatArray) -> ComplexArray:
        plan = self._plan()
        points = xy.T * (2 * math.pi / self.box)
        plan.setpts(np.ascontiguousarray(points[1]), np.ascontiguousarray(points[0]))
        return np.asarray(plan.execute(weights.astype(np.complex128))[:, : self.box // 2 + 1])


class SliceProjector(Projector):
    """Exact slices of voxel densities by a type-2 non-uniform FFT (finufft).

    The transform of the voxels, F(k) = Σ V(r) exp(−2πi k·r), is evaluated at Rᵀ[kx, ky, 0].
    """

    def __init__(self, volumes: Sequence[NDArray[np.float32]], *, threads: int = 1) -> None:
        require_finufft()
        self.box = volumes[0].shape[-1]
        self._volumes = volumes
        self._threads = threads
        half = self.box // 2
        ky, kx = np.fft.fftfreq(self.box), np.fft.rfftfreq(self.box)
        grid = np.zeros((self.box, half + 1, 3))
        grid[..., 0], grid[..., 1] = kx[None], ky[:, None]
        self._keep = np.ones((self.box, half + 1), bool)
        self._keep[half] = self._keep[:, half] = False
        self._points = grid[self._keep] * 2 * np.pi

    def project(self, states: IntArray, rotations: FloatArray) -> ComplexArray:
        import finufft

        out = np.zeros((len(states), self.box, self.box // 2 + 1), np.complex64)
        for state in np.unique(states):
            rows = np.flatnonzero(states == state)
            # Rᵀ k for column vectors k is k R for rows.
            points = (self._points @ rotations[rows]).astype(np.float32).reshape(-1, 3)
            x, y, z = (np.ascontiguousarray(axis) for axis in points.T)
            values = finufft.nufft3d2(
                z,
                y,
                x,
                self._volumes[state].astype(np.complex64),
                eps=1e-6,
                isign=-1,
                nthreads=self._threads,
            )
            planes = np.zeros((len(rows), *self._keep.shape), np.complex64)
            planes[:, self._keep] = values.reshape(len(rows), -1)
            out[rows] = planes
        return out


class VoxelProjector(Projector):
    """CryoBench's way: rotate the voxels with trilinear interpolation and sum along z.

    Not exact: interpolation damps high frequencies.
    """

    def __init__(self, volumes: Sequence[NDArray[np.float32]], *, threads: int = 1) -> None:
        self.box = volumes[0].shape[-1]
        self._volumes = [torch.from_numpy(np.ascontiguousarray(v))[None, None] for v in volumes]
        axis = torch.arange(self.box, dtype=torch.float32) - self.box // 2
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        self._grid = torch.stack([x, y, z], dim=-1)
        self._threads = threads

    def project(self, states: IntArray, rotations: FloatArray) -> ComplexArray:
        half = self.box // 2
        images = torch.empty(len(states), self.box, self.box)
        for image, (state, rotation) in enumerate(zip(states, rotations, strict=True)):
            # The reference point of image point p is Rᵀ p, i.e. p R for rows.
            source = self._grid @ torch.from_numpy(np.asarray(rotation, np.float32))
            normalised = (source + half) * (2 / (self.box - 1)) - 1
            rotated = torch.nn.functional.grid_sample(
                self._volumes[int(state)], normalised[None], align_corners=True
            )
            images[image] = rotated[0, 0].sum(dim=0)
        planes = fft2_half(images)
        planes[:, half] = 0
        planes[:, :, half] = 0
        return np.asarray(planes.numpy())
