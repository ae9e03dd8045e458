"""What the heads of ESMFold and AlphaFold 2 say: expected errors and TM-scores, of one protein.

transformers gives one pTM for a whole batch, over padding; so these take the logits of one.
"""

import torch
from torch import Tensor

_LAST_EDGE = 31.0  # Å
_LEAST_LENGTH = 19  # residues, of the scale of the TM-score


def _bin_centres(logits: Tensor) -> Tensor:
    count = logits.shape[-1]
    step = _LAST_EDGE / (count - 2)
    return (torch.arange(count, device=logits.device, dtype=logits.dtype) + 0.5) * step


def expected_errors(logits: Tensor) -> Tensor:
    """Give the expected aligned error (L, L), Å, from logits (L, L, bins): 0 to 31 Å and beyond."""
    return logits.softmax(-1) @ _bin_centres(logits)


def predicted_tm(logits: Tensor, chains: Tensor | None = None) -> float:
    """Predict the TM-score from the logits of the aligned error.

    The largest over frames i of the mean over j of E[1 / (1 + (e_ij / d₀)²)] (Jumper et al.,
    Nature 596, 583, 2021, supplement 1.9.7).

    Parameters
    ----------
    logits
        Shape (L, L, bins).
    chains
        Shape (L,): only pairs of different chains count, as in ipTM (Evans et al., 2022); all
        where None.
    """
    # As the heads were trained: without the lower limit of the TM-score for short chains.
    scale = 1.24 * (max(len(logits), _LEAST_LENGTH) - 15) ** (1 / 3) - 1.8
    each = logits.softmax(-1) @ (1 / (1 + (_bin_centres(logits) / scale) ** 2))
    if chains is None:
        return float(each.mean(-1).max())
    between = (chains[:, None] != chains).to(each)
    if not bool(between.any()):
        return float("nan")
    return float(((each * between).sum(-1) / between.sum(-1).clamp(min=1e-8)).max())
