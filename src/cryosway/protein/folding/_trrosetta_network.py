"""trRosetta's network: from an alignment to distances and orientations of pairs of residues.

Yang et al., PNAS 117, 1496, 2020. The weights are those of the package ``tr-rosetta-pytorch``
(MIT), five networks whose outputs are averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cryosway._errors import CryoswayError
from cryosway.particles import load_torch_archive

LETTERS = "ARNDCQEGHILKMFPSTWYV-"
_STATES = len(LETTERS)
_DILATIONS = (1, 2, 4, 8, 16)
_ALIKE = 0.8  # identity above which sequences share their weight
_PENALTY = 4.5
_MOST_ROWS = 5_000
_FILTERS, _LAYERS, _CHANNELS = 64, 61, 526
_HEADS = {"theta": 25, "phi": 13, "distance": 37, "omega": 25}


@dataclass(frozen=True, eq=False)
class PairDistributions:
    """Probabilities of what lies between residues i and j of L, by bins; bin 0 is beyond 20 Å.

    Attributes
    ----------
    distance
        Shape (L, L, 37): of Cβ, bins of 0.5 Å from 2 to 20 Å.
    omega
        Shape (L, L, 25): dihedral Cα–Cβ–Cβ–Cα, bins of 15° from −180°.
    theta
        Shape (L, L, 25): dihedral N_i–Cα_i–Cβ_i–Cβ_j, bins of 15° from −180°.
    phi
        Shape (L, L, 13): angle Cα_i–Cβ_i–Cβ_j, bins of 15° from 0°.
    """

    distance: Tensor
    omega: Tensor
    theta: Tensor
    phi: Tensor

    def contacts(self, reach: float = 8.0) -> Tensor:
        """Probability (L, L) that two Cβ are within `reach` Å."""
        return self.distance[..., 1 : 1 + round((reach - 2) / 0.5)].sum(-1)


class _Network(nn.Module):
    """The residual network; names are those of the weights' files."""

    def __init__(self) -> None:
        super().__init__()
        self.first_block = nn.Sequential(
            nn.Conv2d(_CHANNELS, _FILTERS, 1), _normalise(), nn.ELU(inplace=True)
        )
        self.layers = nn.ModuleList(
            nn.Sequential(
                _convolve(_DILATIONS[at % len(_DILATIONS)]), _normalise(), nn.ELU(inplace=True),
                nn.Identity(), _convolve(_DILATIONS[at % len(_DILATIONS)]), _normalise(),
            )
            for at in range(_LAYERS)
        )  # fmt: skip
        for name, bins in _HEADS.items():
            title = f"to_{name}" if name == "distance" else f"to_prob_{name}"
            self.add_module(title, nn.Sequential(nn.Conv2d(_FILTERS, bins, 1)))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        x = self.first_block(features)
        for layer in self.layers:
            x = functional.elu(x + layer(x))
        both = 0.5 * (x + x.mT)
        return {
            "theta": self.get_submodule("to_prob_theta")(x),
            "phi": self.get_submodule("to_prob_phi")(x),
            "distance": self.get_submodule("to_distance")(both),
            "omega": self.get_submodule("to_prob_omega")(both),
        }


def _normalise() -> nn.Module:
    return nn.InstanceNorm2d(_FILTERS, affine=True, eps=1e-6)


def _convolve(dilation: int) -> nn.Module:
    return nn.Conv2d(_FILTERS, _FILTERS, 3, padding=dilation, dilation=dilation)


def read_alignment(path: Path) -> list[str]:
    """Read the rows of an A3M file, without insertions (lower case).

    Raises
    ------
    CryoswayError
        When it cannot be read, or its rows have several lengths.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as an alignment ({error}); give an A3M file"
        raise CryoswayError(msg) from error
    return parse_alignment(text, path)


def parse_alignment(text: str, source: str | Path) -> list[str]:
    """Take the rows of an A3M text, without insertions; `source` is named in errors."""
    rows: list[str] = []
    for line in text.splitlines():
        if line.startswith(">"):
            rows.append("")
        elif rows and not line.startswith("#"):
            rows[-1] += "".join(letter for letter in line.strip() if not letter.islower())
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        msg = f"{source}: rows of {len(lengths)} lengths are no alignment; give an A3M file"
        raise CryoswayError(msg)
    return rows


def list_weights(folder: Path) -> list[Path]:
    """List the weights (``*.pt``) in a folder.

    Raises
    ------
    CryoswayError
        When there are none.
    """
    paths = sorted(folder.glob("*.pt"))
    if not paths:
        msg = (
            f"{folder} has no weights of trRosetta (*.pt); unpack models.tar.gz of the package "
            "tr-rosetta-pytorch 0.0.3 (MIT) there"
        )
        raise CryoswayError(msg)
    return paths


def load_networks(folder: Path, device: torch.device) -> list[nn.Module]:
    """Load all weights of a folder; they are read as numbers, no code is run."""
    networks: list[nn.Module] = []
    for path in list_weights(folder):
        state = {name: torch.from_numpy(np.array(value))
                 for name, value in load_torch_archive(path).items()
                 if not name.startswith("to_prob_bb")}  # fmt: skip
        network = _Network()
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            msg = f"{path} does not hold the weights of trRosetta: {first}"
            raise CryoswayError(msg) from error
        networks.append(network.to(device).eval())
    return networks


@final
@dataclass(frozen=True, eq=False)
class AlignmentFeatures:
    """What the network sees of an alignment: (526, L, L), and the effective number of rows."""

    values: Tensor
    depth: float


def make_features(rows: Sequence[str]) -> AlignmentFeatures:
    """Make the features: sequence, profile, and couplings by the inverse covariance.

    Rows that share 80 % of their letters share their weight; of very deep alignments the first
    5,000 rows count.
    """
    known = np.full(256, _STATES - 1, np.int64)
    known[np.frombuffer(LETTERS.encode(), np.uint8)] = np.arange(_STATES)
    letters: NDArray[np.int64] = np.stack(
        [known[np.frombuffer(row.encode(), np.uint8)] for row in rows[:_MOST_ROWS]]
    )
    hot = functional.one_hot(torch.from_numpy(letters), _STATES).float()
    count, length, _ = hot.shape
    flat = hot.reshape(count, -1)
    weights = 1 / (flat @ flat.T > _ALIKE * length).float().sum(-1)
    profile = (weights @ flat).reshape(length, _STATES) / weights.sum() + 1e-9
    entropy = -(profile * profile.log()).sum(-1, keepdim=True)
    single = torch.cat([hot[0, :, :20], profile, entropy], dim=1)
    pairs = _couple(flat, weights, length) if count > 1 else torch.zeros(length, length, 442)
    wide = single.expand(length, length, -1)
    values = torch.cat([wide.transpose(0, 1), wide, pairs], dim=-1)
    return AlignmentFeatures(values.permute(2, 1, 0), float(weights.sum()))


def _couple(flat: Tensor, weights: Tensor, length: int) -> Tensor:
    """Couplings (L, L, 442): the inverse of the shrunk covariance, and its norms with APC."""
    points = weights.sum() - weights.mean().sqrt()
    mean = (weights @ flat) / points
    x = (flat - mean) * weights.sqrt()[:, None]
    covariance = x.T @ x / points
    covariance.diagonal().add_(_PENALTY / weights.sum().sqrt())
    inverse = torch.linalg.inv(covariance).reshape(length, _STATES, length, _STATES)
    norms = inverse[:, :-1, :, :-1].square().sum(dim=(1, 3)).sqrt().fill_diagonal_(0)
    expected = norms.sum(0, keepdim=True) * norms.sum(1, keepdim=True) / norms.sum()
    corrected = (norms - expected).fill_diagonal_(0)
    features = inverse.transpose(1, 2).reshape(length, length, -1)
    return torch.cat([features, corrected[..., None]], dim=-1)


@torch.no_grad()
def predict_pairs(
    networks: Sequence[nn.Module], features: AlignmentFeatures, device: torch.device
) -> PairDistributions:
    """Average the probabilities of all networks."""
    sums: dict[str, Tensor] = {}
    given = features.values[None].to(device)
    for network in networks:
        for name, logits in network(given).items():
            # The convolutions see residue j along the first axis, as they were trained.
            found = logits.softmax(1)[0].cpu().permute(2, 1, 0) / len(networks)
            sums[name] = sums[name] + found if name in sums else found
    return PairDistributions(**sums)
