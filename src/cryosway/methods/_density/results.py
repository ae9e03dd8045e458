"""The files of a deformed backprojection: maps before and after, their FSC, and what was gained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cryosway.engine import JobFolder, write_json
from cryosway.inference import weigh_shells
from cryosway.methods._density.data import DensityData
from cryosway.methods._density.motions import HalfMotions
from cryosway.methods._density.state import State
from cryosway.methods._job_files import VolumeIndex, fsc_entry, write_curves
from cryosway.validate import auc_fsc, corrected_fsc, fsc_resolution

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HalfMaps:
    """Independent maps of two half-sets, each (D, D, D), not regularised."""

    first: Tensor
    second: Tensor

    def correlate(self, mask: Tensor) -> FloatArray:
        """Masked, corrected FSC, (D // 2,)."""
        both = (self.first.numpy(), self.second.numpy())
        return corrected_fsc(*both, mask.numpy())["corrected"]

    def combine(self, mask: Tensor, curve: FloatArray) -> Tensor:
        """Average, masked, every shell weighed by what its FSC says of its truth."""
        return weigh_shells(0.5 * (self.first + self.second) * mask, curve)


@dataclass(frozen=True, eq=False)
class MovedResult:
    """What a deformed backprojection has found.

    Attributes
    ----------
    state
        That the particles were moved to.
    mask
        Shape (D, D, D).
    before, after
        Half-maps of the particles as they are, and moved.
    residuals
        Of the two half-sets: after each step of the solver.
    motions
        By which the images of each half-set were moved.
    displacement
        Shape (N,), Å: rms motion of each particle from the state.
    region, region_is
        Mask of what moves, if it is judged by itself; and a phrase that says what it is.
    """

    state: State
    mask: Tensor
    before: HalfMaps
    after: HalfMaps
    residuals: list[list[float]]
    motions: HalfMotions
    displacement: FloatArray
    region: Tensor | None
    region_is: str


def describe_sets(motions: HalfMotions) -> tuple[str, str]:
    """Say what the half-sets have in common: in short, and in a sentence."""
    if not motions.are_apart:
        return "maps apart, motions in common", (
            "each half-map is made from its own images, but the motions are those of one model, "
            "which has seen both half-sets (the job has no half-set models): their FSC tests the "
            "maps, not the motions"
        )
    moved = "each half-map is made from its own images, moved as a model says that was fitted to "
    if motions.share_poses:
        return "maps and motions apart, poses in common", (
            f"{moved}these alone; but both stand on poses that were refined with all images: their "
            "FSC tests maps and motions as far as these poses are right"
        )
    return "maps and motions apart", (
        f"{moved}these alone, in the poses given: their FSC tests maps and motions"
    )


def write_moved(job: JobFolder, data: DensityData, result: MovedResult) -> None:
    """Write maps, curves, particles, what was found in sentences, and the facts of job.json."""
    size = data.data.pixel_size
    curves = {
        ("moved", "mask"): result.after.correlate(result.mask),
        ("as they are", "mask"): result.before.correlate(result.mask),
    }
    if result.region is not None:
        curves["moved", "region"] = result.after.correlate(result.region)
        curves["as they are", "region"] = result.before.correlate(result.region)
    maps = _write_maps(job, data, result, curves)
    write_curves(job, fsc=[_name_curve(*key, curve, size) for key, curve in curves.items()])
    data.data.write_particles(
        job.path, contrast=data.posterior.contrast, displacement=result.displacement
    )
    gain = _describe_gain(curves, size)
    _tell(job, result, gain)
    _write_supplement(job, result, curves, maps, gain, size)
    job.update(
        box=data.data.box,
        pixel_size=size,
        radius=data.data.radius,
        resolution_angstrom=fsc_resolution(curves["moved", "mask"], size),
        density={
            "by": "deformed",
            "state": result.state.label,
            "motions_of_half_sets": result.motions.are_apart,
            "poses_of_all": result.motions.share_poses,
            **gain,
        },
    )


def _write_maps(
    job: JobFolder,
    data: DensityData,
    result: MovedResult,
    curves: Mapping[tuple[str, str], FloatArray],
) -> dict[str, npt.NDArray[np.float32]]:
    """Write maps, half-maps and masks; give the two maps by what they are of."""
    size = data.data.pixel_size
    index = VolumeIndex(job.path, size)
    latent = None if result.state.latent is None else result.state.latent.tolist()
    facts = {
        "moved": ("mean", "mean", f"particles moved to {result.state.label}", result.after),
        "as they are": ("unmoved", "state", "particles as they are", result.before),
    }
    made = {}
    for what, (name, kind, label, halves) in facts.items():
        curve = curves[what, "mask"]
        made[what] = halves.combine(result.mask, curve).numpy()
        files = index.write_half_maps(
            f"{name}_", (halves.first.numpy(), halves.second.numpy()), label
        )
        index.write(
            name, made[what], kind, label,
            resolution=fsc_resolution(curve, size),
            n_effective=float(len(data.data)),
            half_maps=files,
            z=latent if what == "moved" else None,
        )  # fmt: skip
    index.write("mask", result.mask, "mask", "mask of the state")
    if result.region is not None:
        index.write("region", result.region, "mask", "moving region")
    return made


def _name_curve(what: str, where: str, curve: FloatArray, pixel_size: float) -> dict[str, Any]:
    of_region = "" if where == "mask" else "moving region, "
    volume = "mean.mrc" if what == "moved" else "unmoved.mrc"
    return fsc_entry(f"{of_region}{what}: masked, corrected", volume, curve, pixel_size)


def _describe_gain(
    curves: Mapping[tuple[str, str], FloatArray], pixel_size: float
) -> dict[str, Any]:
    """Area under the FSC and resolution, before and after, in the mask and in the region."""
    found: dict[str, Any] = {}
    for (what, where), curve in curves.items():
        name = ("region_" if where == "region" else "") + ("after" if what == "moved" else "before")
        found[f"auc_fsc_{name}"] = auc_fsc(np.clip(curve, 0, 1))
        found[f"resolution_{name}_angstrom"] = fsc_resolution(curve, pixel_size)
    return found


def _tell(job: JobFolder, result: MovedResult, gain: Mapping[str, Any]) -> None:
    job.decide("half-sets", *describe_sets(result.motions))
    if result.motions.missing:
        job.decide(
            "parts that may be missing", result.motions.missing,
            "a particle adds to the map near them by the probability that it has them: nothing is "
            "moved in from particles without, and the map shows them in full",
        )  # fmt: skip
    steps = max(len(part) for part in result.residuals)
    last = max(part[-1] for part in result.residuals)
    job.decide(
        "steps of the solver", steps,
        f"the error of the normal equations has fallen to {100 * last:.2g} % of what it was",
    )  # fmt: skip
    if result.region is not None:
        better = gain["auc_fsc_region_after"] > gain["auc_fsc_region_before"]
        job.decide(
            "moving region", "sharper" if better else "not sharper",
            f"{result.region_is}; {_compare(gain, 'region_')}",
        )  # fmt: skip


def _compare(gain: Mapping[str, Any], where: str) -> str:
    auc = [gain[f"auc_fsc_{where}{when}"] for when in ("before", "after")]
    size = [gain[f"resolution_{where}{when}_angstrom"] for when in ("before", "after")]
    return (
        f"there the half-maps' area under the FSC is {auc[1]:.3f} with the particles moved and "
        f"{auc[0]:.3f} as they are ({size[1]:.1f} and {size[0]:.1f} Å at 0.143)"
    )


def _write_supplement(
    job: JobFolder,
    result: MovedResult,
    curves: Mapping[tuple[str, str], FloatArray],
    maps: Mapping[str, npt.NDArray[np.float32]],
    gain: Mapping[str, Any],
    pixel_size: float,
) -> None:
    """Write what the report shows as a section: slices before and after, and the figures."""
    from cryosway.report import plot_slices, write_figure

    shown = {what: maps[what] for what in ("as they are", "moved")}
    write_figure(job.path / "figures" / "moved.png", plot_slices(shown, pixel_size))
    moved = (
        f"Every particle was moved to {result.state.label} along the model's motion before it was "
        "averaged. The map's density is free, but the motion is the model's: what it moves wrongly "
        "is blurred, as it is in the map of the particles as they are. Half-sets: "
        f"{describe_sets(result.motions)[1]}."
    )
    region = f"The moving region is {result.region_is}"
    if result.region is not None:
        region += f": {_compare(gain, 'region_')}."
    entry = {
        "title": "Deformed backprojection",
        "sentences": [moved] if result.region is None else [moved, region],
        "figures": [
            {
                "file": "figures/moved.png",
                "caption": "Central slices of the map of the particles as they are, and moved.",
            }
        ],
        "header": ["FSC of", "area under it (cycles/pixel)", "resolution (Å)"],
        "rows": [
            [
                f"{'moving region' if where == 'region' else 'whole mask'}, {what}",
                round(auc_fsc(np.clip(curve, 0, 1)), 4),
                round(fsc_resolution(curve, pixel_size), 2),
            ]
            for (what, where), curve in curves.items()
        ],
    }
    write_json(job.path / "supplement.json", entry)
