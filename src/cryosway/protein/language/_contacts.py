"""Contacts of residues from attention (Rao et al., ICLR 2021).

A map of attention is made symmetric, and corrected for residues that attend, or are attended to,
everywhere (average product correction, Dunn et al. 2008); a logistic regression over the maps of
all heads of all layers gives the probability of contact. The maps are used one layer after the
other, since those of a large network together are many gigabytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import load_tensors, save_tensors
from cryosway.protein.language._alphabet import tokenise
from cryosway.protein.language._chain_contacts import CONTACT, ChainDistances
from cryosway.protein.language._network import attention_maps

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM

FloatArray = npt.NDArray[np.floating]

#: Residues between the partners of a contact, from the first to below the second.
RANGES = {"short": (6, 12), "medium": (12, 24), "long": (24, None)}
_LEAST_SEPARATION = 6
_STRENGTH = 0.15  # of the regression's L1 penalty, as in Rao et al.: the inverse of its weight


@final
@dataclass(frozen=True)
class ContactHead:
    """A logistic regression over attention maps.

    Attributes
    ----------
    weights : ndarray, shape (layers · heads,), float32
        Of the maps, those of the first layer first.
    bias : float
        Added.
    """

    weights: npt.NDArray[np.float32]
    bias: float

    @classmethod
    def of(cls, network: "EsmForMaskedLM") -> "ContactHead":
        """Take the head of a checkpoint."""
        head = network.esm.contact_head.regression
        weights = head.weight.detach().float().cpu().numpy()[0]
        return cls(weights, float(head.bias.detach()))

    @classmethod
    def load(cls, path: Path) -> "ContactHead":
        """Read what `save` has written."""
        tensors, meta = load_tensors(path)
        return cls(np.asarray(tensors["weights"]), float(meta["bias"]))

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        save_tensors(path, {"weights": self.weights}, {"bias": self.bias})

    def predict(self, network: "EsmForMaskedLM", sequence: str) -> npt.NDArray[np.float32]:
        """Give the probability of contact of each pair of residues.

        Parameters
        ----------
        network : EsmForMaskedLM
            Weights; better in float32, since contacts are small differences of attention.
        sequence : str
            Upper case.

        Returns
        -------
        ndarray, shape (L, L)
            Symmetric.

        Raises
        ------
        CryoswayError
            When the head is of another network.
        """
        config = network.config
        maps = config.num_hidden_layers * config.num_attention_heads
        if maps != len(self.weights):
            message = (
                f"the contact head weighs {len(self.weights)} maps of attention, but the network "
                f"has {maps}; train one for it"
            )
            raise CryoswayError(message)
        layers = torch.from_numpy(self.weights).to(network.device).split(config.num_attention_heads)
        total: Tensor | float = self.bias
        for weights, maps_of_layer in zip(layers, corrected_maps(network, sequence), strict=True):
            total = total + torch.tensordot(weights, maps_of_layer, 1)
        assert isinstance(total, Tensor)
        return total.sigmoid().cpu().numpy()


def corrected_maps(network: "EsmForMaskedLM", sequence: str) -> Iterator[Tensor]:
    """Give the symmetric, corrected attention of each layer, shape (heads, L, L)."""
    tokens = torch.from_numpy(tokenise(sequence)).to(network.device)
    with torch.inference_mode():
        for attention in attention_maps(network, tokens):
            inner = attention[:, 1:-1, 1:-1]
            yield correct_average_product(inner + inner.transpose(1, 2))


def correct_average_product(maps: Tensor) -> Tensor:
    """Subtract what the sums of row and column alone would give.

    Parameters
    ----------
    maps : Tensor, shape (..., L, L)
        Symmetric.

    Returns
    -------
    Tensor, shape (..., L, L)
        Whose rows and columns add up to 0.
    """
    rows, columns = maps.sum(-1, keepdim=True), maps.sum(-2, keepdim=True)
    return maps - rows * columns / maps.sum((-1, -2), keepdim=True)


def fit_contact_head(
    network: "EsmForMaskedLM", chains: Sequence[ChainDistances], seed: int = 0
) -> ContactHead:
    """Train a head on structures; twenty were enough for ESM-2.

    Parameters
    ----------
    network : EsmForMaskedLM
        Whose attention is weighed.
    chains : sequence of ChainDistances
        Pairs at least six residues apart count.
    seed : int, optional
        Of the solver.

    Returns
    -------
    ContactHead
        An L1-penalised logistic regression.

    Raises
    ------
    CryoswayError
        When the chains have no contacts.
    """
    from sklearn.linear_model import LogisticRegression

    features, labels = [], []
    for chain in chains:
        rows, columns = np.triu_indices(len(chain.sequence), _LEAST_SEPARATION)
        maps = [layer[:, rows, columns] for layer in corrected_maps(network, chain.sequence)]
        features.append(torch.cat(maps).T.cpu().numpy())
        labels.append(chain.distances[rows, columns] < CONTACT)
    truth = np.concatenate(labels) if labels else np.empty(0)
    if not truth.any():
        message = "the structures have no contacts to learn from; give larger ones"
        raise CryoswayError(message)
    solver = LogisticRegression(
        l1_ratio=1.0, C=_STRENGTH, solver="liblinear", random_state=seed, max_iter=1000
    )
    solver.fit(np.concatenate(features), truth)
    return ContactHead(solver.coef_[0].astype(np.float32), float(solver.intercept_[0]))


def measure_precision(
    probabilities: FloatArray, distances: FloatArray
) -> Mapping[str, Mapping[str, float]]:
    """Measure which share of the most probable pairs are contacts.

    Parameters
    ----------
    probabilities : ndarray, shape (L, L)
        Predicted.
    distances : ndarray, shape (L, L)
        Å between Cβ atoms; NaN where not resolved, which does not count.

    Returns
    -------
    mapping
        For each of `RANGES`, the precision of the best L, L/2 and L/5 pairs; and ``contacts``,
        their share among all pairs of the range, which guessing would give.
    """
    length = len(probabilities)
    result = {}
    for name, (first, end) in RANGES.items():
        rows, columns = np.triu_indices(length, first)
        near = columns - rows < (end or length + 1)
        known = np.isfinite(distances[rows, columns]) & near
        rows, columns = rows[known], columns[known]
        order = np.argsort(-probabilities[rows, columns], kind="stable")
        hits = (distances[rows, columns] < CONTACT)[order]
        shares = {"L": length, "L/2": length // 2, "L/5": length // 5}
        result[name] = {
            share: float(hits[: max(1, count)].mean()) if len(hits) else float("nan")
            for share, count in shares.items()
        } | {"contacts": float(hits.mean()) if len(hits) else float("nan")}
    return result
