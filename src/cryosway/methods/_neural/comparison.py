"""Linear model and network side by side: which describes the data better, and how maps differ."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cryosway.engine import JobFolder, write_json
from cryosway.jobs import Job
from cryosway.methods._neural.landscapes import show_landscapes
from cryosway.validate import fsc, fsc_resolution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Volume = npt.NDArray[np.float32]
_GROUPS = 5


@dataclass(frozen=True, eq=False)
class Pairing:
    """Maps of the same particles by both.

    Attributes
    ----------
    particles
        How many.
    linear, network
        Shape (D, D, D): maps at their mean latents.
    agreement
        Å, where the FSC of the two falls below 0.5.
    """

    particles: int
    linear: Volume
    network: Volume
    agreement: float


def compare_models(job: JobFolder, linear: Job, network: Job) -> None:
    """Write what the report shows: held-out likelihood, maps of the same particles, landscapes.

    Parameters
    ----------
    job
        The comparison's own folder.
    linear, network
        Finished jobs on the same particles.
    """
    from cryosway.report import write_figure

    pairs = pair_maps(linear, network)
    write_figure(job.path / "figures" / "models.png", plot_pairs(pairs))
    held = network.info.get("held_out", {})
    described = describe_pairs(pairs, held)
    for name, more in show_landscapes(job.path, linear, network).items():
        described[name] += more
    write_json(job.path / "supplement.json", described)
    job.update(held_out=held)


def pair_maps(linear: Job, network: Job, groups: int = _GROUPS) -> list[Pairing]:
    """Decode the same particles by both: equal groups along the first component."""
    order = np.argsort(linear.latents[:, 0])
    pairs = []
    for rows in np.array_split(order, groups):
        first = linear.volume(linear.latents[rows].mean(0))
        second = network.volume(network.latents[rows].mean(0))
        agreement = fsc_resolution(fsc(first, second), linear.pixel_size, 0.5)
        pairs.append(Pairing(len(rows), first, second, agreement))
    return pairs


def describe_pairs(pairs: list[Pairing], held: dict[str, Any]) -> dict[str, Any]:
    """Say the comparison in sentences and a table, for supplement.json."""
    return {
        "title": "Linear model and network",
        "sentences": [describe_held_out(held)],
        "figures": [
            {
                "file": "figures/models.png",
                "caption": "Central slices of maps of the same particles, in equal groups along "
                "the first component: linear model above, network in the middle, their "
                "difference below; the network's brought to the scale of the linear model's.",
            }
        ],
        "header": ["group", "particles", "maps agree to, Å (FSC 0.5)"],
        "rows": [
            [str(number), str(pair.particles), f"{pair.agreement:.1f}"]
            for number, pair in enumerate(pairs, start=1)
        ],
    }


def describe_held_out(held: dict[str, Any]) -> str:
    """Say which of the two describes unseen particles better."""
    if held.get("difference") is None:
        return "No particles were held out, so that the two cannot be judged on unseen data."
    gain, error = held["difference"], held["standard_error"]
    verdicts = {
        "network": "The network describes the data better than the linear model",
        "linear": "The linear model describes the data better than the network",
        "undecided": "Linear model and network describe the data equally well",
    }
    return (
        f"{verdicts[held['better']]}: for {held['particles']} particles that the network was not "
        f"trained on, its log likelihood (a lower bound of it) is {gain:+.2f} ± {error:.2f} nats "
        "per particle over that of the linear model."
    )


def plot_pairs(pairs: list[Pairing]) -> "Figure":
    """Draw central slices of both maps of every group, and their difference."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * len(pairs) + 0.4, 4.8), layout="constrained")
    axes = figure.subplots(3, len(pairs), squeeze=False)
    middle = len(pairs[0].linear) // 2
    shown = slice(middle // 2, middle // 2 + middle)  # the middle half of the box
    limit = max(float(np.percentile(pair.linear[middle], 99.7)) for pair in pairs)
    for column, pair in enumerate(pairs):
        # Maps of the two are weighed differently; what is compared is their shape.
        scale = float((pair.linear * pair.network).sum() / np.square(pair.network).sum())
        network = scale * pair.network
        rows = (pair.linear, network, network - pair.linear)
        for row, (name, density) in enumerate(
            zip(("linear", "network", "difference"), rows, strict=True)
        ):
            axis = axes[row, column]
            slab = density[middle, shown, shown]
            axis.imshow(slab, cmap="gray", vmin=-0.3 * limit, vmax=limit)
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0:
                axis.set_ylabel(name, fontsize=8)
        axes[0, column].set_title(f"group {column + 1}", fontsize=8)
    return figure
