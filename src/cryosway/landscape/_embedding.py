"""The UMAP embedding, for the eye only."""

import warnings
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cryosway._errors import CryoswayError
from cryosway.engine import Progress

FloatArray = NDArray[np.floating]
FIT_AT_MOST = 20_000


def embed_umap(
    coordinates: FloatArray, *, seed: int = 0, neighbours: int = 15, fit_at_most: int = FIT_AT_MOST
) -> FloatArray:
    """Embed particles in the plane by UMAP (McInnes, Healy and Melville, arXiv:1802.03426).

    Of large sets an even sample is embedded, and every other particle put at the mean of its
    nearest sampled neighbours, weighted by nearness. One thread, so that a seed fixes the answer.

    Parameters
    ----------
    coordinates : ndarray, shape (N, K)
        Principal coordinates.
    seed : int
        Same seed, same embedding.
    neighbours : int
        Size of the neighbourhoods that are kept.
    fit_at_most : int
        Particles in the sample.

    Returns
    -------
    ndarray, shape (N, 2)
        Embedding, arbitrary units.

    Raises
    ------
    CryoswayError
        Where umap-learn is not installed.
    """
    umap = _import_umap()
    step = max(1, -(-len(coordinates) // fit_at_most))
    sample = coordinates[::step]
    model = umap.UMAP(
        n_components=2,
        n_neighbors=max(2, min(neighbours, len(sample) - 1)),
        init="spectral" if len(sample) > 200 else "random",
        random_state=seed,
        n_jobs=1,
        tqdm_kwds=_Epochs(len(sample)).settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        placed = np.asarray(model.fit_transform(sample), dtype=np.float64)
    return placed if step == 1 else _place_between(coordinates, sample, placed)


def _place_between(coordinates: FloatArray, sample: FloatArray, placed: FloatArray) -> FloatArray:
    near: NDArray[np.intp]
    distance, near = map(np.asarray, cKDTree(sample).query(coordinates, k=[1, 2, 3, 4, 5]))
    weights = 1.0 / (distance + 1e-3 * np.median(distance[:, -1]) + 1e-12)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray((placed[near] * weights[..., None]).sum(axis=1))


@final
class _Epochs:
    """Reads what UMAP's own bar would print, and shows it as our progress.

    Parameters
    ----------
    particles : int
        That are embedded.
    """

    def __init__(self, particles: int) -> None:
        self._label = f"UMAP of {particles:,} particles"
        self.progress: Progress | None = None
        self.settings = {"file": self, "disable": False, "bar_format": "{n} {total} "}

    def write(self, text: str) -> None:
        """Take "17 200": so many epochs are done of so many."""
        words = text.split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return
        done, total = map(int, words)
        if self.progress is None and done:  # the first epoch compiles: no measure of the others
            self.progress = Progress(total, self._label, done=done)
        elif self.progress is not None:
            self.progress.advance(done - self.progress.done)

    def flush(self) -> None:
        """Do nothing: all is shown at once."""


def _import_umap():  # type: ignore[no-untyped-def]  # noqa: ANN202
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap
    except ImportError:
        message = "UMAP needs the package umap-learn; install it with: pip install cryosway[embed]"
        raise CryoswayError(message) from None
    return umap
