"""Batches of sequences with residues to guess, and how well they are guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cryosway.protein.language._masking import Guesses
from cryosway.protein.language._network import encode, predict_tokens
from cryosway.protein.language._packed import Packed

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM


@final
@dataclass(frozen=True)
class MaskedBatch:
    """Packed sequences with guesses to make.

    Attributes
    ----------
    seen : Packed
        T tokens.
    places : Tensor, shape (n,), int64
        Where in the T tokens guesses are made.
    truth : Tensor, shape (n,), int64
        The tokens there.
    """

    seen: Packed
    places: Tensor
    truth: Tensor

    @classmethod
    def of(cls, guesses: Sequence[Guesses]) -> "MaskedBatch":
        """Pack sequences, the longest first, so that a GPU can treat like with like."""
        ordered = sorted(guesses, key=lambda entry: -len(entry.seen))
        ends = np.cumsum([0, *(len(entry.seen) for entry in ordered)])
        places = [entry.places + end for entry, end in zip(ordered, ends[:-1], strict=True)]
        return cls(
            Packed.of([entry.seen for entry in ordered]),
            torch.from_numpy(np.concatenate(places)),
            torch.from_numpy(np.concatenate([entry.truth for entry in ordered])),
        )


def guess_losses(
    network: "EsmForMaskedLM", batch: MaskedBatch, *, recompute: bool = False
) -> Tensor:
    """Compute the negative log-likelihood of each residue to guess.

    Parameters
    ----------
    network : EsmForMaskedLM
        Weights.
    batch : MaskedBatch
        On the device of the network.
    recompute : bool, optional
        See `encode`.

    Returns
    -------
    Tensor, shape (n,), float32
        In nats.
    """
    states = encode(network, batch.seen, recompute=recompute)
    logits = predict_tokens(network, states[batch.places])
    return functional.cross_entropy(logits, batch.truth, reduction="none")
