"""Sequences of any lengths in one row of tokens: nothing is padded, so nothing is wasted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.protein.language._alphabet import Tokens


@final
@dataclass(frozen=True)
class Packed:
    """Sequences one after the other.

    Attributes
    ----------
    tokens : Tensor, shape (T,), int64
        Of all sequences, each with its <cls> and <eos>.
    lengths : tuple of int
        Tokens of each; they add up to T.
    """

    tokens: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, sequences: Sequence[Tokens]) -> "Packed":
        """Pack what `tokenise` gives."""
        joined = np.concatenate(sequences)
        return cls(torch.from_numpy(joined), tuple(len(tokens) for tokens in sequences))

    def to(self, device: torch.device) -> "Packed":
        """Give the same on a device."""
        return Packed(self.tokens.to(device), self.lengths)

    def positions(self) -> Tensor:
        """Give each token's place in its sequence, from 0, shape (T,)."""
        places = [torch.arange(length) for length in self.lengths]
        return torch.cat(places).to(self.tokens.device, non_blocking=True)

    def owners(self) -> Tensor:
        """Give the number of each token's sequence, shape (T,)."""
        lengths = torch.tensor(self.lengths)
        numbers = torch.arange(len(lengths)).repeat_interleave(lengths)
        return numbers.to(self.tokens.device, non_blocking=True)

    def groups(self, least_share: float = 1.0) -> Iterator[slice]:
        """Give neighbouring sequences of about equal lengths together.

        Parameters
        ----------
        least_share : float, optional
            Of the longest of a group that each has at least; 1 puts equal lengths together.

        Yields
        ------
        slice
            Of the sequences.
        """
        first, shortest, longest = 0, self.lengths[0], self.lengths[0]
        for number, length in enumerate(self.lengths):
            shortest, longest = min(shortest, length), max(longest, length)
            if shortest < least_share * longest:
                yield slice(first, number)
                first, shortest, longest = number, length, length
        yield slice(first, len(self.lengths))


def plan_batches(lengths: npt.ArrayLike, most_tokens: int) -> list[npt.NDArray[np.int64]]:
    """Sort sequences by length and cut them into batches of about as many tokens.

    Parameters
    ----------
    lengths : array_like of int
        Tokens of each sequence.
    most_tokens : int
        Of a batch; a longer sequence is a batch of its own.

    Returns
    -------
    list of ndarray of int64
        Sequences of each batch, the longest first, so that memory runs out at once or never.

    Examples
    --------
    >>> [batch.tolist() for batch in plan_batches([3, 9, 4, 4], 8)]
    [[1], [2, 3], [0]]
    """
    sizes = np.asarray(lengths, np.int64)
    batches: list[list[int]] = []
    room = 0
    for number in np.argsort(-sizes, kind="stable"):
        if sizes[number] > room:
            batches.append([])
            room = most_tokens
        batches[-1].append(int(number))
        room -= int(sizes[number])
    return [np.array(batch, np.int64) for batch in batches]
