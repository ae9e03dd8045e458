"""What the training of a language model asks of the engine: its items, batches and loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import Losses, ParameterGroup
from cryosway.protein.language._corpus import Corpus, Numbers
from cryosway.protein.language._masked_batch import MaskedBatch
from cryosway.protein.language._masking import CHOSEN, Guesses, hide_residues
from cryosway.protein.language._sharded import guess_in_pieces

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM


@final
@dataclass(frozen=True)
class Recipe:
    """What is drawn, and from where.

    Attributes
    ----------
    corpus : Corpus
        Sequences.
    clusters : ndarray of int64
        Those to draw from, all with the same chance.
    crop : int
        Tokens of a sequence at most.
    seed : int
        Of all that is drawn.
    recompute : bool
        Whether layers are computed twice to save memory (gradient checkpointing).
    """

    corpus: Corpus
    clusters: Numbers
    crop: int
    seed: int
    recompute: bool = False

    @cached_property
    def guesses(self) -> float:
        """Residues to guess in a sequence, on average."""
        return CHOSEN * self.corpus.mean_tokens(self.clusters, self.crop)


@final
class LanguageStep:
    """A `TrainingStep` that learns to guess hidden residues.

    An item is a draw: of a cluster, of a member, of a window, of the residues to hide. All follow
    from the seed, the epoch and the item's number, so that neither resuming nor the number of
    processes changes them.

    Parameters
    ----------
    network : EsmForMaskedLM
        On its device.
    recipe : Recipe
        What is drawn.
    """

    def __init__(self, network: "EsmForMaskedLM", recipe: Recipe) -> None:
        self.module = network
        self._recipe = recipe
        self._epoch = 0

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Give all weights but the contact head's; biases and norms without decay."""
        named = [
            parameter
            for name, parameter in self.module.named_parameters()
            if "contact_head" not in name
        ]
        return [
            ParameterGroup([parameter for parameter in named if parameter.ndim > 1]),
            ParameterGroup([p for p in named if p.ndim < 2], weight_decay=0.0),
        ]

    def begin_epoch(self, epoch: int, progress: float) -> None:
        """Draw anew."""
        self._epoch = epoch

    def load(self, rows: npt.NDArray[np.int64]) -> MaskedBatch:
        """Draw a batch."""
        return MaskedBatch.of([self._draw(int(row)) for row in rows])

    def loss(self, batch: MaskedBatch, generator: torch.Generator) -> Losses:
        """Add up what the guesses cost, over the number expected.

        The expected number, and not that of this batch, since parts of a batch in several
        processes must add up to the loss of the whole.
        """
        costs = guess_in_pieces(self.module, batch, recompute=self._recipe.recompute)
        items = len(batch.seen.lengths)
        guesses = torch.tensor(len(costs) / items / self._recipe.guesses)
        total = costs.sum() / items / self._recipe.guesses
        return Losses(total, {"guesses": guesses.to(total.device)})

    def _draw(self, row: int) -> Guesses:
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, self._epoch, row])
        cluster = int(recipe.clusters[rng.integers(len(recipe.clusters))])
        sequence = recipe.corpus.draw_member(cluster, rng)
        return hide_residues(recipe.corpus.draw_crop(sequence, recipe.crop, rng), rng)
