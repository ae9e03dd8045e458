"""Sequences to learn from, in clusters: each cluster counts once, however many members it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.protein._sequences import BadRecord, clean_records, stream_fasta
from cryosway.protein.language._alphabet import CLS, EOS, VOCABULARY, Tokens, tokenise

Numbers = npt.NDArray[np.int64]

_BLOCK = 4_096  # sequences whose weights are spread over their residues at a time


@final
@dataclass(frozen=True)
class Corpus:
    """Sequences in one array, and which of them belong together.

    Attributes
    ----------
    residues : ndarray, shape (R,), uint8
        Tokens of all sequences, without <cls> and <eos>.
    starts : ndarray, shape (N + 1,), int64
        Where each sequence begins.
    members : ndarray, shape (N,), int64
        Sequences, those of a cluster side by side.
    cluster_starts : ndarray, shape (C + 1,), int64
        Where each cluster begins in ``members``.
    """

    residues: npt.NDArray[np.uint8]
    starts: Numbers
    members: Numbers
    cluster_starts: Numbers

    @classmethod
    def read(cls, path: str | Path, clusters: Mapping[str, str] | None = None) -> "Corpus":
        """Read a FASTA file; records that are no protein sequences are an error.

        Parameters
        ----------
        path : path
            FASTA, also gzipped.
        clusters : Mapping[str, str], optional
            Name of each sequence → name of its cluster; without, each is a cluster of its own.

        Raises
        ------
        CryoswayError
            When a record is bad, or is in no cluster.
        """
        parts, labels = [], []
        numbers: dict[str, int] = {}
        for record in clean_records(stream_fasta(path), path):
            if isinstance(record, BadRecord):
                raise CryoswayError(record.problem)
            cluster = record.name if clusters is None else clusters.get(record.name)
            if cluster is None:
                message = f"{path} line {record.line}: {record.name} is in no cluster; list it"
                raise CryoswayError(message)
            parts.append(tokenise(record.sequence)[1:-1].astype(np.uint8))
            labels.append(numbers.setdefault(cluster, len(numbers)))
        if len(numbers) < 2:
            message = f"{path} holds {len(numbers)} clusters of sequences; training needs two"
            raise CryoswayError(message)
        counts = np.bincount(labels)
        return cls(
            residues=np.concatenate(parts),
            starts=np.cumsum([0, *map(len, parts)]),
            members=np.argsort(labels, kind="stable"),
            cluster_starts=np.concatenate([[0], np.cumsum(counts)]),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.cluster_starts) - 1

    @property
    def lengths(self) -> Numbers:
        """Residues of each sequence."""
        return np.diff(self.starts)

    def draw_member(self, cluster: int, rng: np.random.Generator) -> int:
        """Draw a sequence of a cluster, all with the same chance."""
        first, end = self.cluster_starts[cluster : cluster + 2]
        return int(self.members[rng.integers(first, end)])

    def draw_crop(self, sequence: int, most: int, rng: np.random.Generator) -> Tokens:
        """Give a sequence's tokens, or a window of them.

        <cls> and <eos> mark the true ends: a window that does not reach an end goes without.

        Parameters
        ----------
        sequence : int
            Which.
        most : int
            Tokens at most, <cls> and <eos> among them.
        rng : Generator
            Chooses the window, all with the same chance.

        Returns
        -------
        ndarray of int64
            At most ``most`` tokens.
        """
        first, end = int(self.starts[sequence]), int(self.starts[sequence + 1])
        left = int(rng.integers(max(0, end - first + 2 - most) + 1))
        right = min(end - first + 2, left + most)
        inner = self.residues[first + max(0, left - 1) : first + min(end - first, right - 1)]
        ends = [CLS] * (left == 0), [EOS] * (right == end - first + 2)
        return np.concatenate([ends[0], inner, ends[1]]).astype(np.int64)

    def mean_tokens(self, clusters: Numbers, most: int) -> float:
        """Give the mean number of tokens of what is drawn from the clusters."""
        weights = self.weights(clusters)
        return float(weights @ np.minimum(self.lengths + 2, most))

    def weights(self, clusters: Numbers) -> npt.NDArray[np.float64]:
        """Give the chance of each sequence to be drawn from the clusters, shape (N,)."""
        sizes = np.diff(self.cluster_starts)
        inside = np.zeros(self.clusters)
        inside[clusters] = 1 / (len(clusters) * sizes[clusters])
        weights = np.empty(len(self))
        weights[self.members] = np.repeat(inside, sizes)
        return weights

    def frequencies(self, clusters: Numbers) -> npt.NDArray[np.float64]:
        """Give the share of each token among the residues drawn from the clusters, shape (33,).

        No share is zero: every residue is counted once more than it occurs, over them all.
        """
        weights = self.weights(clusters)
        counts = np.zeros(len(VOCABULARY))
        for first in range(0, len(self), _BLOCK):
            starts = self.starts[first : first + _BLOCK + 1]
            spread = np.repeat(weights[first : first + _BLOCK], np.diff(starts))
            residues = self.residues[starts[0] : starts[-1]]
            counts += np.bincount(residues, spread, minlength=len(VOCABULARY))
        counts = counts / counts.sum() + 1 / max(1, len(self.residues))
        return np.asarray(counts / counts.sum())

    def split(self, held_out: float, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Divide the clusters into those to learn from and those to be judged on.

        Parameters
        ----------
        held_out : float
            Share to be judged on, of one cluster at least.
        rng : Generator
            Chooses them.

        Returns
        -------
        tuple of ndarray of int64
            Clusters of both, sorted.
        """
        order = rng.permutation(self.clusters)
        count = min(max(1, round(held_out * self.clusters)), self.clusters - 1)
        return np.sort(order[count:]), np.sort(order[:count])
