"""Which parts of a complex each particle shows: a mixture over compositions, in closed form.

With parts V_p of a volume, whitened data are y = a f Σ_p o_p V_p + noise, each occupancy o_p 0 or 1
and the contrast a ~ N(1, s²). All that an image says of o and a is in its Gram matrix, Re⟨·,·⟩ of
[f V_0 … f V_P−1, y]. Given a composition o, with P = |f Σ o_p V_p|², M = Re⟨f Σ o_p V_p, y⟩ and
τ = 1 / 2s², the contrast integrates out:

    −log p(y | o) = |y|² + τ − (M + τ)² / (P + τ) + ½ log(1 + P / τ).

Compositions are drawn with shares that expectation maximisation finds. An occupancy of 0 or 1 has
evidence of its own: a factor between them would be confounded with contrast, and with a part that
has moved away from where the model shows it, whose best factor is small but not 0.
"""

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

_ROUNDS = 200
_SETTLED = 1e-4  # nats in all, by which a round of EM still betters the shares
_MOST_LEFT = 0.5
_LEVELS = 10  # constant occupancies 0, 1/10, … 9/10 that a mixture must beat


@dataclass(frozen=True, eq=False)
class VariableParts:
    """Parts that are missing in some of the particles.

    Attributes
    ----------
    parts
        Their numbers, in the order in which they were found.
    gains
        Nats in all by which each betters the likelihood, beyond the penalty of its shares (BIC).
    closest
        The largest such gain of the parts that are not among them: negative, or −inf for none.
    """

    parts: tuple[int, ...]
    gains: tuple[float, ...]
    closest: float


def list_compositions(parts: int, variable: tuple[int, ...] | list[int]) -> Tensor:
    """List occupancies (C, parts), 0 or 1, of all compositions in which only some parts vary.

    The first has all parts; that with none at all is not among them.
    """
    table = torch.ones(2 ** len(variable), parts)
    table[:, list(variable)] = torch.tensor(list(product((1.0, 0.0), repeat=len(variable))))
    return table[table.sum(1) > 0]


def weigh_compositions(gram: Tensor, table: Tensor, contrast_sd: float) -> tuple[Tensor, Tensor]:
    """Evidence of every composition in every image, and the contrast under it.

    Parameters
    ----------
    gram
        Shape (n, P+1, P+1): Re⟨·,·⟩ of P filtered parts and the data; differentiable.
    table
        Shape (C, P): occupancies.
    contrast_sd
        Prior spread s of the contrast about 1; 0 fixes it there.

    Returns
    -------
    log p(y | composition), nats up to a constant of the noise, and the contrast's posterior mean,
    each (n, C).
    """
    table = table.to(gram)
    power = torch.einsum("cp,npq,cq->nc", table, gram[:, :-1, :-1], table)
    match = gram[:, :-1, -1] @ table.T
    data = gram[:, -1:, -1]
    if contrast_sd == 0:
        return 2 * match - power - data, torch.ones_like(match)
    tie = 0.5 / contrast_sd**2
    contrast = (match + tie) / (power + tie)
    # (M + τ)² / (P + τ) − τ, without the difference of large numbers that it is at small s.
    fit = contrast * (match + tie) - tie
    return fit - data - 0.5 * torch.log1p(power / tie), contrast


def mix_compositions(evidence: Tensor, log_shares: Tensor) -> tuple[Tensor, Tensor]:
    """Log likelihood (n,) of images under a mixture, and each composition's probability (n, C)."""
    joint = evidence + log_shares.to(evidence)
    return joint.logsumexp(1), joint.softmax(1)


def learn_shares(evidence: Tensor, shares: Tensor | None = None) -> tuple[Tensor, float]:
    """Find the shares of compositions by expectation maximisation.

    Parameters
    ----------
    evidence
        Shape (n, C), from `weigh_compositions`.
    shares
        Shape (C,), to start from; equal by default.

    Returns
    -------
    Shares (C,), float64, and the log likelihood of all images under them, nats.
    """
    known = evidence.double()
    count = known.shape[1]
    found = torch.full((count,), 1 / count).double() if shares is None else shares.double()
    before = -math.inf
    for _ in range(_ROUNDS):
        likelihood, probability = mix_compositions(known, found.clamp(min=1e-12).log())
        total = float(likelihood.sum())
        found = probability.mean(0)
        if total - before < _SETTLED:
            break
        before = total
    return found, total


def find_variable_parts(
    gram: Tensor,
    candidates: list[int],
    contrast_sd: float,
    *,
    most: int = 6,
    least_share: float = 0.03,
) -> VariableParts:
    """Find the parts that are missing in some images, one after the other, the surest first.

    A part counts as missing where a mixture of images with and without it explains the images
    better than its presence in all of them does, by more than the Bayesian information criterion
    asks for its shares; better, too, than any constant occupancy, which is what a part that is
    blurred or badly modelled in all images has; where it is missing in `least_share` of them; and
    where these have not half of its power left elsewhere, as they have where it has moved.

    Parameters
    ----------
    gram
        Shape (n, P+1, P+1), as in `weigh_compositions`.
    candidates
        Parts that may be missing.
    contrast_sd
        Prior spread of the contrast.
    most
        Parts to find at most; compositions are 2 to the power of it.
    least_share
        Of images without the part.
    """
    chosen: list[int] = []
    gains: list[float] = []
    known = gram.double()
    while True:
        others = [part for part in candidates if part not in chosen]
        tried = {part: _gain_of(known, chosen, part, contrast_sd, least_share) for part in others}
        best = max(tried, key=lambda part: tried[part], default=None)
        if best is None or tried[best] <= 0 or len(chosen) >= most:
            return VariableParts(
                tuple(chosen), tuple(gains), max(tried.values(), default=-math.inf)
            )
        gains.append(tried[best])
        chosen.append(best)


def _gain_of(
    gram: Tensor, chosen: list[int], part: int, contrast_sd: float, least_share: float
) -> float:
    """Nats that a further part's absence brings, beyond its penalty; −inf where it is none."""
    count = gram.shape[1] - 1
    table, without = (list_compositions(count, some) for some in ([*chosen, part], chosen))
    evidence = weigh_compositions(gram, table, contrast_sd)[0]
    shares, mixed = learn_shares(evidence)
    penalty = 0.5 * math.log(len(gram))
    before = _best_at_levels(gram, without, part, contrast_sd, (1.0,))
    gain = mixed - before - penalty * (len(table) - len(without))
    if gain <= 0:
        return gain
    probability = mix_compositions(evidence, shares.clamp(min=1e-12).log())[1]
    absent = probability @ (1 - table[:, part]).to(probability)
    if float(absent.mean()) < least_share or _left_over(gram, evidence, absent, part) > _MOST_LEFT:
        return -math.inf
    levels = tuple(level / _LEVELS for level in range(_LEVELS))
    constant = _best_at_levels(gram, without, part, contrast_sd, levels)
    return min(gain, mixed - constant - penalty)


def _left_over(gram: Tensor, evidence: Tensor, absent: Tensor, part: int) -> float:
    """How much of a part's power is left unexplained where it is thought absent, about 0 to 1.

    0 where it is gone, 1 where it has only moved: images without it then fit as much worse than
    those with it.
    """
    misfit = -evidence.amax(1)
    gone = (absent @ misfit) / absent.sum()
    there = ((1 - absent) @ misfit) / (1 - absent).sum().clamp(min=1e-12)
    return float((gone - there) / (absent @ gram[:, part, part] / absent.sum()))


def _best_at_levels(
    gram: Tensor, table: Tensor, part: int, contrast_sd: float, levels: tuple[float, ...]
) -> float:
    """Log likelihood of images where a part has one occupancy in all, the best of some."""
    found = []
    for level in levels:
        at = table.clone()
        at[:, part] = level
        found.append(learn_shares(weigh_compositions(gram, at, contrast_sd)[0])[1])
    return max(found)
