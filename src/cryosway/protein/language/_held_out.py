"""How well sequences of clusters never seen are guessed, against knowing frequencies only."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import autocast, move_batch
from cryosway.protein.language._corpus import Corpus, Numbers
from cryosway.protein.language._masked_batch import MaskedBatch, guess_losses
from cryosway.protein.language._masking import Guesses, hide_residues
from cryosway.protein.language._packed import plan_batches

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM

_BATCH_TOKENS = 8_192


@final
@dataclass(frozen=True)
class HeldOut:
    """Sequences to judge on: one of each held-out cluster, 15 % of it hidden by masks only.

    Attributes
    ----------
    batches : list of MaskedBatch
        On the CPU; always the same.
    unigram_perplexity : float
        Of guessing by the frequency of residues in the training set.
    """

    batches: list[MaskedBatch]
    unigram_perplexity: float

    @classmethod
    def draw(
        cls,
        corpus: Corpus,
        clusters: Numbers,
        frequencies: npt.NDArray[np.float64],
        crop: int,
        seed: int,
    ) -> "HeldOut":
        """Draw them.

        Parameters
        ----------
        corpus : Corpus
            Sequences.
        clusters : ndarray of int64
            The held-out ones.
        frequencies : ndarray, shape (33,)
            Of tokens in the training set.
        crop : int
            Tokens of a sequence at most.
        seed : int
            Of the draws.
        """
        guesses = [_draw(corpus, int(cluster), crop, seed) for cluster in clusters]
        truth = np.concatenate([entry.truth for entry in guesses])
        plan = plan_batches([len(entry.seen) for entry in guesses], _BATCH_TOKENS)
        batches = [MaskedBatch.of([guesses[number] for number in batch]) for batch in plan]
        return cls(batches, math.exp(-np.log(frequencies[truth]).mean()))

    @property
    def guesses(self) -> int:
        """Residues to guess."""
        return sum(len(batch.truth) for batch in self.batches)

    def perplexity(self, network: "EsmForMaskedLM", precision: str = "float32") -> float:
        """Give exp of the mean negative log-likelihood of the hidden residues.

        Parameters
        ----------
        network : EsmForMaskedLM
            On its device.
        precision : {"float32", "bf16"}, optional
            Of matrix products.

        Returns
        -------
        float
            20 would be guessing blindly among the amino acids.
        """
        device = network.device
        total = 0.0
        with torch.inference_mode(), autocast(precision, device):
            for batch in self.batches:
                total += float(guess_losses(network, move_batch(batch, device)).double().sum())
        return math.exp(total / self.guesses)


def _draw(corpus: Corpus, cluster: int, crop: int, seed: int) -> Guesses:
    rng = np.random.default_rng([seed, cluster])
    tokens = corpus.draw_crop(corpus.draw_member(cluster, rng), crop, rng)
    return hide_residues(tokens, rng, masks_only=True)
