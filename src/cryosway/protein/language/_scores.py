"""How likely a sequence's residues are, and what an exchange of one costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt

from cryosway.protein.language._alphabet import (
    AMINO_ACID_TOKENS,
    MASK,
    VOCABULARY,
    Tokens,
    tokenise,
)
from cryosway.protein.language._model import LanguageModel
from cryosway.protein.language._network import encode, predict_tokens
from cryosway.protein.language._packed import Packed

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM

FloatArray = npt.NDArray[np.float32]


@final
@dataclass(frozen=True)
class Scores:
    """What the model expects at each residue of a sequence.

    Attributes
    ----------
    tokens : ndarray, shape (L,), int64
        The residues.
    log_probabilities : ndarray, shape (L, 33), float32
        Of each token at each residue, nats.
    """

    tokens: Tokens
    log_probabilities: FloatArray

    @property
    def log_likelihoods(self) -> FloatArray:
        """Those of the residues that are there, shape (L,)."""
        return self.log_probabilities[np.arange(len(self.tokens)), self.tokens]

    @property
    def perplexity(self) -> float:
        """Exp of minus their mean: among how many residues the model is in doubt."""
        return math.exp(-float(self.log_likelihoods.mean()))

    @property
    def mutations(self) -> FloatArray:
        """Log-likelihood ratio of each amino acid to the residue there, shape (L, 20), nats.

        Columns are in the alphabetical order of the letters (Meier et al., NeurIPS 2021).
        """
        columns = self.log_probabilities[:, AMINO_ACID_TOKENS]
        return np.asarray(columns - self.log_likelihoods[:, None])


def score_in_one_pass(
    model: LanguageModel, sequences: Sequence[str], *, batch_tokens: int = 4_096
) -> list[Scores]:
    """Score sequences that the model sees in full.

    Fast, but the model sees the residue that it is asked for, and favours it.

    Parameters
    ----------
    model : LanguageModel
        The network.
    sequences : sequence of str
        Upper case.
    batch_tokens : int, optional
        Residues computed at a time.

    Returns
    -------
    list of Scores
        In the order of the sequences.
    """

    def work(network: "EsmForMaskedLM", batch: Packed) -> list[FloatArray]:
        logits = predict_tokens(network, encode(network, batch))
        rows = logits.log_softmax(-1).cpu()
        return [part[1:-1].numpy() for part in rows.split(list(batch.lengths))]

    tokens = [tokenise(sequence) for sequence in sequences]
    found: dict[int, FloatArray] = {}
    for numbers, results in model.compute(work, tokens, batch_tokens):
        found |= dict(zip(numbers.tolist(), results, strict=True))
    return [Scores(row[1:-1], found[number]) for number, row in enumerate(tokens)]


def score_by_masking(model: LanguageModel, sequence: str, *, batch_tokens: int = 4_096) -> Scores:
    """Score a sequence with each residue hidden once: as many passes as residues.

    Parameters
    ----------
    model : LanguageModel
        The network.
    sequence : str
        Upper case.
    batch_tokens : int, optional
        Residues computed at a time.

    Returns
    -------
    Scores
        Of Salazar et al., ACL 2020, whose perplexity is called pseudo-perplexity.
    """
    tokens = tokenise(sequence)
    places = np.arange(1, len(tokens) - 1)
    hidden = np.repeat(tokens[None], len(places), axis=0)
    hidden[np.arange(len(places)), places] = MASK

    def work(network: "EsmForMaskedLM", batch: Packed) -> FloatArray:
        states = encode(network, batch)
        logits = predict_tokens(network, states[batch.tokens == MASK])
        return logits.log_softmax(-1).cpu().numpy()

    found = np.empty((len(places), len(VOCABULARY)), np.float32)
    for numbers, rows in model.compute(work, list(hidden), batch_tokens):
        found[numbers] = rows
    return Scores(tokens[1:-1], found)
