"""Chains of a complex, laid out for a network that knows one chain only, and parted again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError

IndexArray = NDArray[np.int64]

#: Glycines between two chains, and by how much residues are numbered further at a break.
LINKER, BREAK = 25, 512
_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, eq=False)
class Assembly:
    """Residues of one or more chains in a row, with what joins them.

    Attributes
    ----------
    letters
        Of P places: the chains, with a linker of glycines between them.
    places
        Shape (P,): the number that the network sees, which jumps by 512 from chain to chain.
    chains
        Shape (P,): number of the chain; −1 in linkers.
    """

    letters: str
    places: IndexArray
    chains: IndexArray

    def __len__(self) -> int:
        return len(self.letters)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Shape (P,): what is no linker."""
        return self.chains >= 0


def lay_out(chains: tuple[str, ...], linker: int = LINKER) -> Assembly:
    """Lay chains out in a row.

    Parameters
    ----------
    chains
        Sequences.
    linker
        Glycines between two chains; 0 for a break in the numbers alone.
    """
    letters, places, owners = "", [], []
    at = 0
    for number, sequence in enumerate(chains):
        if number:
            letters += "G" * linker
            places.append(np.arange(linker) + at)
            owners.append(np.full(linker, -1))
            at += linker + BREAK
        letters += sequence
        places.append(np.arange(len(sequence)) + at)
        owners.append(np.full(len(sequence), number))
        at += len(sequence)
    return Assembly(letters, np.concatenate(places), np.concatenate(owners).astype(np.int64))


def name_chain(number: int) -> str:
    """Name chain 0, 1, … A, B, …, as mmCIF may.

    Examples
    --------
    >>> name_chain(0), name_chain(61), name_chain(62)
    ('A', '9', 'AA')
    """
    if number < 0:
        msg = f"chains are numbered from 0, not {number}"
        raise CryoswayError(msg)
    first, last = divmod(number, len(_NAMES))
    return (name_chain(first - 1) if first else "") + _NAMES[last]
