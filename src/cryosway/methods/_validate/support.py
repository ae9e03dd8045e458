"""Support: whether features of a job's maps are in the images, and in which.

Features are the connected regions in which the volume of a state differs from the mean of all. A
model makes density of the noise that it is fitted to, so images of each half-set are asked by what
the model of the other one foretells of these regions.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, write_table
from cryosway.inference import ImageSource, accumulate_weighted, solve_unmoved
from cryosway.jobs import Job
from cryosway.methods._held_out import choose_rows
from cryosway.methods._validate.decoded_volumes import decode_volumes
from cryosway.methods._validate.feature_evidence import Asked, Evidence, ask_images
from cryosway.methods._validate.half_fits import HalfFits
from cryosway.methods._validate.options import ValidateOptions
from cryosway.methods._validate.parts import Finding, Picture
from cryosway.methods._validate.states import StateCentre, choose_states
from cryosway.methods._validate.subject import REFITTED, Subject
from cryosway.methods._validate.support_features import (
    Feature,
    find_extra_density,
    list_features,
    measure_amounts,
)
from cryosway.methods._validate.support_words import FeatureTable, say_support, sum_up
from cryosway.methods._validate.volume_sample import VolumeSample
from cryosway.optics import filter_volumes, resize_volumes, shell_power
from cryosway.particles import read_map, write_map
from cryosway.report import plot_slices
from cryosway.validate import align_latents, make_solvent_mask, sphere_mask

FloatArray = npt.NDArray[np.float64]

_RESOLUTION = 10.0  # Å
_LEAST_RADIUS, _LARGEST_RADIUS = 8, 31  # Fourier pixels
_SAMPLE, _FEW = 128, 32  # volumes
_MOST_GAIN = 1e3
FEATURES_NAME = "features"


@final
class SupportTest:
    """The test of one job.

    Parameters
    ----------
    job
        Of `validate`.
    subject
        The job that is validated.
    options
        ``states``, ``volume`` and ``seed``.
    halves
        Fits of the half-sets.
    device
        Where to compute.
    """

    def __init__(
        self,
        job: JobFolder,
        subject: Subject,
        options: ValidateOptions,
        halves: HalfFits,
        device: torch.device,
    ) -> None:
        self.job, self.subject, self.options, self.device = job, subject, options, device
        self.fits = halves

    def run(self) -> Finding:
        """Find features, ask the images, and write maps and tables."""
        features = self._features
        extra = find_extra_density(self._sample.mean, self._halves, self._mask)
        if not features:
            nothing = "Support: no state's volume differs from the mean in a region of its own."
            said = [*say_support([], extra, independent=True), nothing]
            found: dict[str, Any] = {"features": [], "extra_density": extra}
            return Finding(sum_up([], extra) or "nothing to ask", said, found)
        asked = [self._prepare(half, features) for half in (0, 1)]
        evidence = [self._ask(half, asked[half]) for half in (0, 1)]
        table = FeatureTable(features, asked, evidence, self._pixel_size)
        rows = table.rows(independent=self._independent)
        write_table(self.job.path / "features.parquet", pd.DataFrame(rows))
        self._write_maps(features, evidence)
        found = {
            "features": rows,
            "extra_density": extra,
            "resolution_angstrom": self._field / self._source.radius,
            "independent": self._independent,
        }
        pictures = [self._draw(features, asked, evidence)]
        said = say_support(rows, extra, independent=self._independent)
        return Finding(sum_up(rows, extra), said, found, self._columns(evidence), pictures)

    # -- what is asked -------------------------------------------------------------------------

    @property
    def _independent(self) -> bool:
        """Whether there are models that have not seen the images that they are asked about."""
        return self.subject.command in REFITTED

    @property
    def _field(self) -> float:
        return self.subject.data.box * self.subject.data.pixel_size

    @cached_property
    def _source(self) -> ImageSource:
        full = self.subject.open_source(self.device)
        wanted = int(np.clip(round(self._field / _RESOLUTION), _LEAST_RADIUS, _LARGEST_RADIUS))
        return full.within(min(wanted, full.radius))

    @property
    def _box(self) -> int:
        return 2 * (self._source.radius + 1)

    @property
    def _pixel_size(self) -> float:
        return self._field / self._box

    @cached_property
    def _states(self) -> list[StateCentre]:
        return choose_states(self.subject, self.options.states, self.options.seed)

    @cached_property
    def _halves(self) -> Tensor:
        """Maps (2, b, b, b) of all particles of each half-set, made from their images."""
        kept = self.job.load_checkpoint("support")
        if kept is None:
            contrast = torch.from_numpy(self.subject.posterior.contrast).float()
            with self.job.progress(len(contrast), "consensus") as progress:
                sums = accumulate_weighted(
                    self._source, self.subject.data.half, contrast, progress.advance
                )
            halves = torch.stack([solve_unmoved(sums, half) for half in (0, 1)])
            self.job.save_checkpoint("support", {"halves": halves})
            return halves
        return torch.as_tensor(kept[0]["halves"])

    @cached_property
    def _mask(self) -> Tensor:
        """Where features are looked for: in the job's mask, and where an atomic model has atoms."""
        mask, box = self.subject.read_kind("mask"), self._box
        if mask is None:
            small = torch.from_numpy(sphere_mask(box, 0.42 * box))
        else:
            small = resize_volumes(torch.from_numpy(mask.copy()), box) * (box / len(mask)) ** 3
        small = small.clamp(0, 1)
        if self.subject.command == "structural":
            shown = decode_volumes(self.subject.job, self.subject.job.latents[:_FEW], box)
            around = make_solvent_mask(shown.mean(0).numpy(), self._pixel_size)
            small = torch.maximum(small, torch.from_numpy(around))
        return small

    def _decode(
        self, job: Job, latents: FloatArray, watch: Callable[[int], None] | None = None
    ) -> Tensor:
        """Volumes of a job as images show them, within the mask."""
        volumes = decode_volumes(job, latents, self._box, watch)
        return filter_volumes(volumes, self._gain) * self._mask

    @cached_property
    def _gain(self) -> Tensor:
        """Factor of every shell that brings the job's mean nearest to the consensus.

        What a model says of a shell in which its mean is unlike the maps counts the less.
        """
        rows = self._choose_rows(self.subject.job)[:_FEW]
        shown = decode_volumes(self.subject.job, self.subject.job.latents[rows], self._box).mean(0)
        pair = torch.stack([shown, self._halves.mean(0)]) * self._mask
        shells = self._box // 2
        total, own, other = shell_power(torch.stack([pair.sum(0), *pair]), shells)
        return ((total - own - other) / 2 / own.clamp(min=1e-30)).clamp(0, _MOST_GAIN)

    def _choose_rows(self, job: Job) -> npt.NDArray[np.int64]:
        return choose_rows(len(job.latents), _SAMPLE, self.options.seed)

    def _draw_sample(self, job: Job) -> VolumeSample:
        """Volumes of a job at particles chosen at random."""
        latents = job.latents[self._choose_rows(job)]
        with self.job.progress(len(latents), "volumes") as progress:
            return VolumeSample.make(latents, self._decode(job, latents, progress.advance))

    @cached_property
    def _sample(self) -> VolumeSample:
        return self._draw_sample(self.subject.job)

    @cached_property
    def _features(self) -> list[Feature]:
        latents = np.stack([state.latent for state in self._states])
        volumes = self._decode(self.subject.job, latents)
        named = {f"state {s.number}": v for s, v in zip(self._states, volumes, strict=True)}
        given = {str(path): self._read(path) for path in self.options.volume}
        return list_features(named | given, self._sample.mean, self._mask)

    def _read(self, path: Path) -> Tensor:
        """Read a map of the user's, on the scale of the sample's mean."""
        density, info = read_map(path)
        data = self.subject.data
        if density.shape != (data.box,) * 3 or abs(info.pixel_size / data.pixel_size - 1) > 0.01:
            message = (
                f"{path} has {density.shape[0]} voxels of {info.pixel_size:.4g} Å, but the images "
                f"have {data.box} of {data.pixel_size:.4g} Å: resample it to that box"
            )
            raise CryoswayError(message)
        small = resize_volumes(torch.from_numpy(density.copy()), self._box) * self._mask
        mean = self._sample.mean
        return small * float((small * mean).sum() / small.square().sum().clamp(min=1e-30))

    def _prepare(self, half: int, features: list[Feature]) -> Asked:
        """Ask what the model of the other half-set foretells of this one's images."""
        model, to_model = self._find_model(half)
        sample = self._sample if model is self.subject.job else self._draw_sample(model)
        centres = to_model(np.stack([state.latent for state in self._states]))
        changes = self._decode(model, centres) - sample.mean
        weights = torch.stack([one.weight for one in features])
        densities = torch.stack(
            [one.density if one.state is None else changes[one.state] for one in features]
        )
        scale = np.maximum(sample.latents.std(0), 1e-12)
        away = (sample.latents[:, None] - centres[None]) / scale
        return Asked(
            sample=sample,
            consensus=self._halves.mean(0) * self._mask,
            features=densities * weights,
            amounts=measure_amounts(sample, densities * weights, weights),
            states=np.asarray(np.square(away).sum(-1).argmin(1), np.int64),
            state_count=len(centres),
        )

    def _find_model(self, half: int) -> tuple[Job, Callable[[FloatArray], FloatArray]]:
        """Give the model that has not seen a half-set, and what takes the job's latents to its."""
        if not self._independent:
            return self.subject.job, lambda z: z
        model = self.fits.fit(1 - half)
        return model, align_latents(
            self.subject.job.latents[self.fits.rows(1 - half)], model.latents
        )

    def _ask(self, half: int, asked: Asked) -> Evidence:
        rows = self.fits.rows(half)
        contrast = self.subject.posterior.contrast[rows]
        with self.job.progress(len(rows), f"images of half-set {half + 1}") as progress:
            return ask_images(asked, self._source, rows, contrast, progress.advance)

    # -- results -------------------------------------------------------------------------------

    def _columns(self, evidence: list[Evidence]) -> dict[str, FloatArray]:
        """Of every particle, how much it has of each feature: foretold, and measured."""
        columns: dict[str, FloatArray] = {}
        for name in ("expected", "measured", "error"):
            values = np.zeros((len(self.subject.data), evidence[0].expected.shape[1]))
            for half in (0, 1):
                values[self.fits.rows(half)] = getattr(evidence[half], name)
            columns |= {f"feature{n}_{name}": each for n, each in enumerate(values.T, start=1)}
        return columns

    def _write_maps(self, features: list[Feature], evidence: list[Evidence]) -> None:
        folder = self.job.path / FEATURES_NAME
        folder.mkdir(exist_ok=True)
        for number, one in enumerate(features, start=1):
            write_map(folder / f"feature_{number}.mrc", one.density.numpy(), self._pixel_size)
        for half in (0, 1):
            for state, density in zip(self._states, evidence[half].maps, strict=False):
                name = f"state_{state.number}_half{half + 1}.mrc"
                write_map(folder / name, density.numpy(), self._pixel_size)

    def _draw(
        self, features: list[Feature], asked: list[Asked], evidence: list[Evidence]
    ) -> Picture:
        """Draw the difference that holds the strongest feature, foretold and in the maps."""
        first = next((one for one in features if one.state is not None), features[0])
        state = first.state or 0
        shown = {}
        for half in (0, 1):
            told = asked[half].sample.change(evidence[half].scores[state][None])[0]
            shown[f"foretold for half-set {half + 1}"] = told.numpy()
            maps = evidence[half].maps
            difference = (maps[state] - maps[-1]) * self._mask
            shown[f"maps of half-set {half + 1}"] = difference.numpy()
        caption = (
            f"Central slices of {first.of} less the mean: what the model of the other half-set "
            "foretells of its particles, and what maps of them show. The maps are made from "
            "Fourier points that had no part in choosing the particles."
        )
        return Picture("support", plot_slices(shown, self._pixel_size), caption)
