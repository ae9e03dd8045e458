"""Which residues a language model has to guess, and what it sees in their place."""

from typing import NamedTuple

import numpy as np

from cryosway.protein.language._alphabet import AMINO_ACID_TOKENS, CLS, EOS, MASK, Tokens

#: Share of residues to guess; of these, shares that become <mask>, and another residue.
CHOSEN = 0.15
MASKED, EXCHANGED = 0.8, 0.1


class Guesses(NamedTuple):
    """A sequence with residues to guess.

    Attributes
    ----------
    seen : ndarray, shape (T,), int64
        The tokens that the model sees.
    places : ndarray, shape (n,), int64
        Where residues are to be guessed.
    truth : ndarray, shape (n,), int64
        Their tokens.
    """

    seen: Tokens
    places: Tokens
    truth: Tokens


def hide_residues(tokens: Tokens, rng: np.random.Generator, *, masks_only: bool = False) -> Guesses:
    """Choose 15 % of the residues to be guessed.

    As in BERT (Devlin et al. 2019): 80 % of them become <mask>, 10 % another amino acid, and 10 %
    stay, so that no residue's representation can be trusted to be given.

    Parameters
    ----------
    tokens : ndarray, shape (T,), int64
        Of a sequence.
    rng : Generator
        Chooses.
    masks_only : bool, optional
        Whether all become <mask>: for judging. What stays, stays readable, and a model that has
        learnt nothing but to copy would look as if it had learnt.

    Returns
    -------
    Guesses
        At least one, where there is a residue.
    """
    residues = np.flatnonzero((tokens != CLS) & (tokens != EOS))
    places = residues[rng.random(len(residues)) < CHOSEN]
    if not len(places) and len(residues):
        places = rng.choice(residues, 1)
    seen, fate = tokens.copy(), rng.random(len(places))
    if masks_only:
        seen[places] = MASK
        return Guesses(seen, places, tokens[places])
    seen[places[fate < MASKED]] = MASK
    exchanged = places[(fate >= MASKED) & (fate < MASKED + EXCHANGED)]
    seen[exchanged] = rng.choice(AMINO_ACID_TOKENS, len(exchanged))
    return Guesses(seen, places, tokens[places])
