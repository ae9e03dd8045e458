"""The 33 tokens of ESM-2, in its order."""

import numpy as np
import numpy.typing as npt

from cryosway.protein._sequences import AMINO_ACIDS

Tokens = npt.NDArray[np.int64]

#: Token texts; the place of each is its number.
VOCABULARY = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    *("<null_1>", "<mask>"),
)
CLS, PAD, EOS, UNKNOWN = range(4)
MASK = VOCABULARY.index("<mask>")

#: Tokens of the twenty amino acids, in alphabetical order of their letters.
AMINO_ACID_TOKENS = tuple(VOCABULARY.index(letter) for letter in AMINO_ACIDS)

_TABLE = np.full(256, UNKNOWN, np.int64)
for _number, _text in enumerate(VOCABULARY):
    if len(_text) == 1:
        _TABLE[ord(_text)] = _number


def tokenise(sequence: str) -> Tokens:
    """Turn a sequence into tokens, begun by <cls> and ended by <eos>.

    Parameters
    ----------
    sequence : str
        Upper case, one letter per residue.

    Returns
    -------
    ndarray, shape (L + 2,), int64
        Letters that are no token become <unk>.

    Examples
    --------
    >>> tokenise("LAG").tolist()
    [0, 4, 5, 6, 2]
    """
    letters = np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)
    return np.concatenate([[CLS], _TABLE[letters], [EOS]])
