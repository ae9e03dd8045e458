"""The softest motions of a molecule's shape, from its anisotropic network.

Small models are diagonalised as they are. For large ones, block iterations (LOBPCG: Knyazev, SIAM
J. Sci. Comput. 23, 2001) start from the modes of rigid blocks of a dozen beads (Tama et al.,
Proteins 41, 2000), and the same blocks, with a block-diagonal smoother, precondition them: time
and memory grow nearly with the number of beads, where a factorisation of the Hessian fills up.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, eigsh, lobpcg, splu

from cryosway._errors import CryoswayError
from cryosway.priors._anisotropic_network import build_hessian, find_springs, rigid_motions

FloatArray = NDArray[np.float64]

_DENSE = 600  # beads that are diagonalised whole
_BLOCK = 14  # beads
_SPARE = 6  # vectors that help the wanted ones to converge
_SMOOTHING = 0.6  # under 1, for which the smoother is stable: H ≤ 2 · its block diagonal
_ROUNDS = 80
_RESIDUAL = 1e-5


@dataclass(frozen=True, eq=False)
class NormalModes:
    """Orthonormal motions without rigid ones, the softest first.

    Attributes
    ----------
    vectors
        Shape (k, N, 3): Σ over beads and axes of two modes' product is 1 or 0.
    stiffness
        Shape (k,), rising: energy of a unit amplitude, in units of a bond's spring. At thermal
        equilibrium a mode's variance is in proportion to one over it.
    """

    vectors: FloatArray
    stiffness: FloatArray

    def __len__(self) -> int:
        return len(self.stiffness)

    @property
    def collectivity(self) -> FloatArray:
        """Shape (k,): part of the beads that takes part, 1/N to 1 (Brüschweiler, 1995)."""
        share = (self.vectors**2).sum(axis=-1)
        entropy = -(share * np.log(np.maximum(share, 1e-300))).sum(axis=1)
        return np.asarray(np.exp(entropy) / share.shape[1], np.float64)

    def displace(self, amplitudes: FloatArray) -> FloatArray:
        """Displacements (…, N, 3), Å, of amplitudes (…, k)."""
        return np.asarray(np.tensordot(amplitudes, self.vectors, axes=1), np.float64)

    def project(self, displacements: FloatArray) -> FloatArray:
        """Amplitudes (…, k) of displacements (…, N, 3)."""
        return np.asarray(np.tensordot(displacements, self.vectors, ([-2, -1], [1, 2])), np.float64)


def find_normal_modes(
    coordinates: FloatArray,
    bonds: NDArray[np.intp] | None = None,
    count: int = 20,
    *,
    reach: float = 15.0,
    most_rounds: int = _ROUNDS,
) -> NormalModes:
    """Find the softest modes of beads joined by springs.

    Parameters
    ----------
    coordinates
        Shape (N, 3), Å.
    bonds
        Shape (B, 2): pairs that have a spring however long they are.
    count
        Modes, at most 3 N − 6.
    reach
        Å: pairs that are nearer have a spring.
    most_rounds
        Of the iterations for large models; fewer leave the stiffest modes less exact.

    Raises
    ------
    CryoswayError
        When fewer modes exist than are asked for.

    Examples
    --------
    >>> import numpy as np
    >>> turn = 1.7 * np.arange(40)
    >>> helix = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 0.88 * turn], axis=1)
    >>> find_normal_modes(helix, count=3).vectors.shape
    (3, 40, 3)
    """
    x = np.asarray(coordinates, np.float64)
    rigid = rigid_motions(x) if len(x) > 1 else np.zeros((3 * len(x), 0))
    most = 3 * len(x) - 6
    if not 1 <= count <= most:
        msg = f"{len(x)} beads have {max(most, 0)} normal modes, not {count}; ask for fewer"
        raise CryoswayError(msg)
    pairs = np.empty((0, 2), np.intp) if bonds is None else bonds
    hessian = build_hessian(x, find_springs(x, pairs, reach))
    if len(x) <= _DENSE:
        stiffness, vectors = _solve_dense(hessian, rigid, count)
    else:
        stiffness, vectors = _solve_by_blocks(hessian, rigid, x, count, most_rounds)
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(count)])
    return NormalModes((vectors * signs).T.reshape(count, -1, 3), stiffness)


def _solve_dense(
    hessian: sparse.csr_array, rigid: FloatArray, count: int
) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (k,) and vectors (3N, k), with rigid motions made the stiffest of all."""
    whole = hessian.toarray()
    whole += rigid @ rigid.T * (2 * np.abs(whole).sum(axis=1).max())
    values, vectors = linalg.eigh(whole, subset_by_index=(0, count - 1))
    return np.asarray(values, np.float64), np.asarray(vectors, np.float64)


def _solve_by_blocks(
    hessian: sparse.csr_array, rigid: FloatArray, x: FloatArray, count: int, most_rounds: int
) -> tuple[FloatArray, FloatArray]:
    scale = float(hessian.diagonal().mean())
    preconditioner = _TwoLevels(hessian, x, 1e-7 * scale)
    start = preconditioner.soft_motions(rigid.shape[1] + count + _SPARE)
    start -= rigid @ (rigid.T @ start)
    start = np.linalg.svd(start, full_matrices=False)[0][:, : count + _SPARE]
    with warnings.catch_warnings():
        # The spare vectors need not converge; the wanted ones are looked at below.
        warnings.simplefilter("ignore", UserWarning)
        _, vectors = lobpcg(
            hessian,
            start,
            M=LinearOperator(hessian.shape, matvec=preconditioner, matmat=preconditioner),
            Y=rigid,
            tol=_RESIDUAL * scale / 100,
            maxiter=most_rounds,
            largest=False,
        )
    return _rotate_to_eigenvectors(hessian, rigid, np.asarray(vectors, np.float64), count)


def _rotate_to_eigenvectors(
    hessian: sparse.csr_array, rigid: FloatArray, vectors: FloatArray, count: int
) -> tuple[FloatArray, FloatArray]:
    """Make the best eigenvectors of a span: orthonormal, free of rigid motions."""
    basis = np.linalg.qr(vectors - rigid @ (rigid.T @ vectors))[0]
    values, mix = linalg.eigh(basis.T @ (hessian @ basis))
    return values[:count], (basis @ mix)[:, :count]


class _TwoLevels:
    """Approximate inverse of a Hessian: rigid blocks of beads, solved, and each bead alone.

    Parameters
    ----------
    hessian
        Shape (3N, 3N).
    x
        Shape (N, 3).
    ridge
        Added to make the Hessian of rigid motions invertible.
    """

    def __init__(self, hessian: sparse.csr_array, x: FloatArray, ridge: float) -> None:
        self._hessian = hessian
        self._spread = _block_motions(x)
        self._coarse = sparse.csc_array(self._spread.T @ hessian @ self._spread)
        eye = sparse.eye_array(self._coarse.shape[0], format="csc")
        self._factors = splu(
            sparse.csc_array(self._coarse + ridge * eye),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        self._ridge = ridge
        bead = np.arange(len(x)) * 3
        own = np.empty((len(x), 3, 3))
        for a in range(3):
            for b in range(3):
                own[:, a, b] = np.asarray(hessian[bead + a, bead + b]).ravel()
        self._own = np.linalg.inv(own + ridge * np.eye(3))

    def soft_motions(self, count: int) -> FloatArray:
        """Softest motions (3N, count) of the rigid blocks, rigid ones of the whole included."""
        inverse = LinearOperator(self._coarse.shape, matvec=self._factors.solve)
        start = np.random.default_rng(0).normal(size=self._coarse.shape[0])
        _, modes = eigsh(self._coarse, count, sigma=-self._ridge, OPinv=inverse, v0=start)
        return np.asarray(self._spread @ modes, np.float64)

    def _smooth(self, rest: FloatArray) -> FloatArray:
        beads = rest.reshape(len(self._own), 3, -1)
        return np.asarray(_SMOOTHING * (self._own @ beads).reshape(rest.shape), np.float64)

    def __call__(self, rest: FloatArray) -> FloatArray:
        """One symmetric cycle: smooth, solve for the blocks, smooth."""
        rest = rest.reshape(len(rest), -1)
        found = self._smooth(rest)
        left = self._spread.T @ (rest - self._hessian @ found)
        found = found + self._spread @ self._factors.solve(left)
        return np.asarray(found + self._smooth(rest - self._hessian @ found), np.float64)


def _block_motions(x: FloatArray) -> sparse.csr_array:
    """Orthonormal rigid motions (3N, M) of blocks of neighbouring beads."""
    rows, columns, values, width = [], [], [], 0
    for block in _divide(x, np.arange(len(x))):
        motions = rigid_motions(x[block])
        at = (3 * block[:, None] + np.arange(3)).ravel()
        rows.append(np.repeat(at, motions.shape[1]))
        columns.append(np.tile(np.arange(motions.shape[1]) + width, len(at)))
        values.append(motions.ravel())
        width += motions.shape[1]
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=(3 * len(x), width)))


def _divide(x: FloatArray, beads: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Halve across the longest side until blocks are small."""
    if len(beads) <= _BLOCK:
        return [beads]
    longest = np.ptp(x[beads], axis=0).argmax()
    order = beads[np.argsort(x[beads, longest], kind="stable")]
    middle = len(order) // 2
    return [*_divide(x, order[:middle]), *_divide(x, order[middle:])]
