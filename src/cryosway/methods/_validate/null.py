"""Null test of any method: what it finds in images of one map, seen as the particles were.

The method is fitted with the same options to homogeneous copies of the data. What it finds, there
and in the data, is measured by what its model decodes: the variance of the volumes of particles
along their principal directions, as a share of the power of the mean volume. Units of latents do
not matter. Every latent is drawn from its posterior: means are drawn to the middle where an image
says little, in the copies nearly to nothing, by amounts that would tell more of the method's prior
than of noise.
"""

import shutil
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, format_duration
from cryosway.inference import Heterogeneity, judge_heterogeneity
from cryosway.jobs import Job
from cryosway.methods._held_out import choose_rows
from cryosway.methods._validate.decoded_volumes import decode_volumes
from cryosway.methods._validate.null_images import NullImages
from cryosway.methods._validate.null_setup import prepare_null
from cryosway.methods._validate.options import ValidateOptions
from cryosway.methods._validate.parts import Finding, Picture
from cryosway.methods._validate.refit import Refit
from cryosway.methods._validate.subject import Subject, draw_latents, read_posterior
from cryosway.optics import resize_volumes
from cryosway.report import plot_spectrum
from cryosway.validate import sphere_mask

FloatArray = npt.NDArray[np.float64]

NULLS_NAME = "nulls"
NOTHING_FOUND, FOUND = "no heterogeneity found", "heterogeneity found"
UNDECIDED = "undecided: more homogeneous copies are needed"
_VOLUMES = 192
_BOX = 32
_DIRECTIONS = 10
_SAID = 4  # directions that sentences tell of
_VERDICTS = {
    "heterogeneous": FOUND,
    "homogeneous": NOTHING_FOUND,
    "undecided": UNDECIDED,
}


def measure_volume_spread(volumes: Tensor, mask: Tensor, most: int = _DIRECTIONS) -> FloatArray:
    """Variance of volumes along their principal directions, over the power of their mean.

    Parameters
    ----------
    volumes
        Shape (M, D, D, D).
    mask
        Shape (D, D, D), bool: voxels that count.
    most
        Directions, at most.

    Returns
    -------
    Shape (K,), from large to small.
    """
    voxels = volumes[:, mask].double()
    mean = voxels.mean(0)
    away = voxels - mean
    gram = (away @ away.T / max(len(voxels) - 1, 1)).numpy()
    variances = np.linalg.eigvalsh(gram)[::-1][:most].clip(min=0)
    return np.asarray(variances / max(float(mean.square().sum()), 1e-30), np.float64)


@final
class NullTest:
    """The null test of one job; every copy that is done is kept.

    Parameters
    ----------
    job
        Of `validate`.
    subject
        The job that is tested.
    options
        Of `validate`.
    device, threads
        Where to compute.
    """

    def __init__(
        self,
        job: JobFolder,
        subject: Subject,
        options: ValidateOptions,
        device: str,
        threads: int | None,
    ) -> None:
        self.job, self.subject, self.options = job, subject, options
        self._place = device, threads

    def run(self) -> Finding:
        """Give the verdict."""
        own = self.subject.job.info.get("heterogeneity")
        copies = int(self.subject.config.get("null_tests", 0))
        if self.subject.command == "linear" and own and copies >= self.options.nulls:
            found = describe_null(own["directions"], copies, None)
        else:
            spectrum, null = self._fit_copies()
            directions: Any = judge_heterogeneity(spectrum, null).describe()["directions"]
            tops = np.array([of_copy[0] for of_copy in null])
            found = describe_null(directions, len(null), tops)
        return Finding(found["verdict"], say_null(found), found, pictures=[_draw(found)])

    def _fit_copies(self) -> tuple[FloatArray, list[FloatArray]]:
        """Spectra of the job and of every copy."""
        kept = self.job.load_checkpoint("null")
        spectra = [] if kept is None else list(np.asarray(kept[0]["spectra"], np.float64))
        if not spectra:
            spectra = [self._measure(self.subject.job)]
            self._keep(spectra)
        count = self.options.nulls
        if len(spectra) <= count:
            self._tell_time()
        for number in range(len(spectra), count + 1):
            self.job.log(f"homogeneous copy {number} of {count} ...")
            spectra.append(self._measure(self._fit_copy(number)))
            self._keep(spectra)
        return spectra[0], spectra[1 : count + 1]

    def _keep(self, spectra: list[FloatArray]) -> None:
        self.job.save_checkpoint("null", {"spectra": np.array(spectra)})

    def _tell_time(self) -> None:
        seconds = float(self.subject.job.info["timings"].get("total", 0.0))
        self.job.log(
            f"the method is fitted to {self.options.nulls} homogeneous copies; the job itself took "
            f"{format_duration(seconds)}"
        )

    @cached_property
    def _images(self) -> NullImages:
        return prepare_null(self.job, self.subject, self.options.particles, *self._place)

    def _fit_copy(self, number: int) -> Job:
        """Write the images of a copy, fit the method, and delete the images."""
        folder = self.job.path / NULLS_NAME
        folder.mkdir(exist_ok=True)
        path = folder / f"images_{number}.mrcs"
        self._require_space(path.exists())
        with self.job.progress(
            len(self._images.particles), "images without heterogeneity"
        ) as shown:
            seed = self.options.seed * 1000 + number
            particles = self._images.write(path, seed, shown.advance)
        job = Refit(self.subject.job, *self._place).fit(particles, folder / str(number))
        path.unlink()
        return job

    def _require_space(self, written: bool) -> None:  # noqa: FBT001
        wanted, free = self._images.bytes_on_disk, shutil.disk_usage(self.job.path).free
        if not written and free < wanted:
            message = (
                f"a homogeneous copy of the images needs {wanted / 1e9:.1f} GB in {self.job.path}, "
                f"where {free / 1e9:.1f} GB are free: make room, or choose another --out"
            )
            raise CryoswayError(message)

    def _measure(self, job: Job) -> FloatArray:
        rows = choose_rows(len(job.latents), _VOLUMES, self.options.seed)
        latents = draw_latents(read_posterior(job), self.options.seed)[rows]
        box = min(_BOX, self.subject.job.box)
        with self.job.progress(len(rows), "volumes") as shown:
            volumes = decode_volumes(job, latents, box, shown.advance)
        most = min(_DIRECTIONS, self.subject.job.latents.shape[1])
        found = measure_volume_spread(volumes, self._mask(box), most)
        return np.pad(found, (0, most - len(found)))

    def _mask(self, box: int) -> Tensor:
        """Voxels of the job's mask, at the size of the small volumes; the same for all copies."""
        mask = self.subject.read_kind("mask")
        if mask is None:
            return torch.from_numpy(sphere_mask(box, 0.45 * box, 1.0)) > 0.5
        full = mask.shape[-1]
        small = resize_volumes(torch.from_numpy(mask.copy()), box) * (box / full) ** 3
        return small > 0.5


def describe_null(
    directions: list[dict[str, Any]], copies: int, tops: FloatArray | None
) -> dict[str, Any]:
    """Say the verdict of directions against copies.

    Parameters
    ----------
    directions
        As in job.json's ``heterogeneity``.
    copies
        Homogeneous copies of the data.
    tops
        Shape (copies,): variance along the first direction of each copy, where known.
    """
    columns = [
        [one[name] for one in directions]
        for name in ("variance_explained", "noise_alone", "p_value")
    ]
    judged = Heterogeneity(*(np.array(column, np.float64) for column in columns))
    if tops is not None:
        for one in directions:
            beaten = int((tops >= one["variance_explained"]).sum())
            one["p_value_by_counting"] = (1 + beaten) / (copies + 1)
    return {
        "verdict": _VERDICTS[judged.verdict],
        "significant": judged.significant,
        "directions": directions,
        "copies": copies,
        "smallest_p_by_counting": 1 / (copies + 1),
        "heterogeneity": {"verdict": judged.verdict, "directions": directions},
    }


def _draw(found: dict[str, Any]) -> Picture:
    names = ("variance_explained", "noise_alone", "p_value")
    columns = {name: [one[name] for one in found["directions"]] for name in names}
    caption = (
        "Variance along the principal directions of what the model decodes, over the power of the "
        "mean map, and what the same method finds in homogeneous copies of the data."
    )
    return Picture("null", plot_spectrum(columns), caption)


def say_null(found: dict[str, Any]) -> list[str]:
    """Say the null test in sentences."""
    copies, directions = found["copies"], found["directions"]
    honest = (
        f"P-values take the logarithm of what noise gives as normal (Student's t from {copies} "
        f"homogeneous copies of the data, with the same poses, their errors, CTF and noise); "
        f"counting copies alone can state no less than p = {found['smallest_p_by_counting']:.2g}."
    )
    count = found["significant"]
    if not count:
        first = directions[0]
        more = " (give more --nulls)" if found["verdict"] == UNDECIDED else ""
        said = (
            f"Null test: {found['verdict']}{more}. The first direction holds "
            f"{_percent(first['variance_explained'])} of the map's power, noise and errors of the "
            f"poses alone {_percent(first['noise_alone'])} (p = {first['p_value']:.2g})."
        )
        return [said, honest]
    stand = "direction stands" if count == 1 else "directions stand"
    said = (
        f"Null test: {FOUND}. {count} {stand} out from what noise and errors of the poses alone "
        "would give (p < 0.01)."
    )
    shown = enumerate(directions[: min(count + 1, _SAID)], start=1)
    return [said, *(_say_direction(number, one) for number, one in shown), honest]


def _say_direction(number: int, one: dict[str, Any]) -> str:
    return (
        f"Direction {number} holds {_percent(one['variance_explained'])} of the map's power, noise "
        f"alone would give {_percent(one['noise_alone'])} (p = {one['p_value']:.2g})."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
