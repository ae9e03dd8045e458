"""Half-sets: the method fitted to each half of the particles, and whether the two agree.

Nothing is shared: each half finds its own mean, noise, poses, model and latents. Each model then
says of every particle where it is; and each half makes maps of the states from its own particles.
"""

from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder
from cryosway.inference import LatentKernel, solve_kernels
from cryosway.jobs import Job
from cryosway.methods._validate.half_fits import HALVES_NAME, HalfFits
from cryosway.methods._validate.infer_others import infer_others
from cryosway.methods._validate.options import ValidateOptions
from cryosway.methods._validate.parts import Finding, Picture
from cryosway.methods._validate.states import StateCentre, choose_states
from cryosway.methods._validate.subject import Subject, read_posterior
from cryosway.report import plot_fsc
from cryosway.validate import (
    align_latents,
    compare_latents,
    corrected_fsc,
    correlate_columns,
    fsc_resolution,
    low_pass,
)

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]

_KERNEL = 1.5  # width, in posterior standard deviations
_COARSE = 12.0  # Å, at which differences of states are compared
_REPRODUCED, _PARTLY = 0.8, 0.4  # correlation of the halves


@final
class Halves:
    """The half-set test of one job; fits resume like any job.

    Parameters
    ----------
    job
        Of `validate`.
    subject
        The job that is validated.
    options
        Of `validate`.
    halves
        The fits.
    place
        Device and threads.
    """

    def __init__(
        self,
        job: JobFolder,
        subject: Subject,
        options: ValidateOptions,
        halves: HalfFits,
        place: tuple[str, int | None],
    ) -> None:
        self.job, self.subject, self.options, self.fits = job, subject, options, halves
        self._place = place

    def run(self) -> Finding:
        """Fit both halves and compare them."""
        jobs = [self.fits.fit(half) for half in (0, 1)]
        latents = self._infer_all(jobs)
        agreement = compare_latents(latents[0], latents[1], self.options.seed)
        coordinates = self.subject.coordinates
        maps_to_job = [align_latents(z, coordinates) for z in latents]
        aligned = [to_job(z) for to_job, z in zip(maps_to_job, latents, strict=True)]
        directions = correlate_columns(*aligned)
        spread = np.maximum(coordinates.std(0), 1e-12)
        apart = np.sqrt(np.square((aligned[0] - aligned[1]) / spread).mean(1))
        states = self._compare_states(jobs)
        found = {
            "canonical_correlations": agreement.canonical,
            "by_direction": directions,
            "chance": agreement.by_chance,
            "states": [{k: v for k, v in one.items() if k != "curve"} for one in states],
        }
        columns = {"latent_disagreement": apart}
        for half in (0, 1):
            for k in range(min(3, aligned[half].shape[1])):
                columns[f"pc{k + 1}_half{half + 1}"] = aligned[half][:, k]
        caption = (
            "Fourier shell correlation of maps of each state, one from each half-set, in which its "
            "own model has chosen the particles; within the mask, corrected for it."
        )
        picture = Picture("halves", plot_fsc([one["curve"] for one in states]), caption)
        return Finding(
            judge_halves(directions), say_halves(found, states), found, columns, [picture]
        )

    # -- latents ------------------------------------------------------------------------------

    def _infer_all(self, jobs: list[Job]) -> list[FloatArray]:
        """Latents of all particles under the model of each half, in the order of the job."""
        found = []
        for model in (0, 1):
            kept = self.job.load_checkpoint(f"half{model + 1}")
            if kept is None:
                own, other = jobs[model], jobs[1 - model]
                z = np.zeros((len(self.subject.job.latents), own.latents.shape[1]))
                z[self.fits.rows(model)] = own.latents
                out = self.job.path / HALVES_NAME / f"half{2 - model}_by_half{model + 1}"
                z[self.fits.rows(1 - model)] = infer_others(self.job, own, other, out, *self._place)
                self.job.save_checkpoint(f"half{model + 1}", {"latents": z})
                kept = {"latents": z}, {}
            found.append(np.asarray(kept[0]["latents"], np.float64))
        return found

    # -- states --------------------------------------------------------------------------------

    @cached_property
    def _mask(self) -> Volume:
        mask = self.subject.read_kind("mask")
        assert mask is not None
        return mask

    @cached_property
    def _states(self) -> list[StateCentre]:
        return choose_states(self.subject, self.options.states, self.options.seed)

    def _compare_states(self, jobs: list[Job]) -> list[dict[str, Any]]:
        """Compare maps of the states from either half, where they are and how they differ."""
        size = self.subject.data.pixel_size
        maps = np.array([self._make_maps(half, jobs[half]) for half in (0, 1)])
        away = maps - maps.mean(1, keepdims=True)
        inside = self._mask > 0.5
        found = []
        for n, state in enumerate(self._states):
            curve = corrected_fsc(maps[0, n], maps[1, n], self._mask)["corrected"]
            coarse = [low_pass(away[half, n], size, max(_COARSE, 4 * size)) for half in (0, 1)]
            agree = float(np.corrcoef(coarse[0][inside], coarse[1][inside])[0, 1])
            resolution = fsc_resolution(curve, size)
            found.append(
                {
                    "state": state.number,
                    "population": state.population,
                    "resolution_angstrom": resolution,
                    "difference_correlation": agree if len(self._states) > 1 else None,
                    "curve": {
                        "label": f"state {state.number}",
                        "volume": "",
                        "value": curve,
                        "frequency_per_angstrom": np.arange(len(curve)) / (2 * len(curve) * size),
                        "resolution_angstrom": resolution,
                    },
                }
            )
        return found

    def _make_maps(self, half: int, job: Job) -> list[Volume]:
        """Make maps of all states of the particles of a half, where its own model puts them."""
        to_half = align_latents(self.subject.job.latents[self.fits.rows(half)], job.latents)
        mine = Subject(job)
        source = mine.open_source(torch.device("cpu"))
        everyone: Tensor = torch.zeros(len(job.latents), dtype=torch.int64)
        kernel = LatentKernel(read_posterior(job), everyone, (_KERNEL,))
        maps = []
        with self.job.progress(len(self._states), f"maps of half-set {half + 1}") as progress:
            for state in self._states:
                equations, _ = kernel.accumulate(source, to_half(state.latent))
                maps.append(solve_kernels(equations)[0].numpy())
                progress.advance()
        return maps


def judge_halves(directions: FloatArray) -> str:
    """Say how many of the directions the halves agree on."""
    count = int((directions > _REPRODUCED).sum())
    if count:
        return f"{count} of {len(directions)} directions reproduced"
    return "partly reproduced" if directions.max() > _PARTLY else "not reproduced"


def say_halves(found: dict[str, Any], states: list[dict[str, Any]]) -> list[str]:
    """Say in sentences how far the halves agree."""
    shown = found["by_direction"][:4]
    listed = ", ".join(f"{value:.2f}" for value in shown)
    said = (
        f"Half-sets: {judge_halves(np.asarray(found['by_direction']))}. Two models, each fitted to "
        "half of the particles, place all particles along the principal directions of the job with "
        f"correlations of {listed} (1: they agree); "
        f"the first canonical correlation of their latents is "
        f"{found['canonical_correlations'][0]:.2f} (by chance {found['chance']:.2f})."
    )
    agree = [
        one["difference_correlation"] for one in states if one["difference_correlation"] is not None
    ]
    resolutions = [one["resolution_angstrom"] for one in states]
    text = (
        f"Independent maps of {len(states)} states agree to {min(resolutions):.1f} to "
        f"{max(resolutions):.1f} Å"
    )
    if agree:
        text += (
            "; in what is peculiar to each state they correlate by "
            f"{min(agree):.2f} to {max(agree):.2f} (1: the same, 0: nothing in common)"
        )
    return [said, f"{text}."]
