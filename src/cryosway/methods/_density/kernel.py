"""`density --by kernel`: maps at any latent of a structural job, from the particles around it."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import BANDWIDTHS
from cryosway.landscape import choose_cluster_count, cluster_particles, fit_principal_axes
from cryosway.methods._density.data import tell_missing
from cryosway.methods._density.regions import find_moving, mask_around, mask_model
from cryosway.methods._density.results import HalfMaps
from cryosway.methods._density.run import DensityRun
from cryosway.methods._job_files import VolumeIndex, fsc_entry, write_curves
from cryosway.methods._linear.kernel_mixture import TARGETS, empty_mixture, fit_mixture
from cryosway.methods._linear.model import KernelDecoder, LinearModel, save_posterior
from cryosway.methods._shared_choices import load_mask
from cryosway.validate import fsc_resolution

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Centre:
    """Where a map is made: the latent (K,) where a cluster is dense, and the cluster's size."""

    latent: FloatArray
    population: int


@final
class KernelRun(DensityRun):
    """Half-maps, kernels fitted to them, and a map of each cluster."""

    def run(self) -> None:
        """Do all stages."""
        job = self.job
        centres = self._find_centres()
        mask = self._find_mask(centres)
        with job.stage("as they are"):
            halves, _ = self.solve_unmoved()
        with job.stage("kernels"):
            model = self._calibrate(halves, mask, centres)
        with job.stage("maps"):
            self._write(model, halves, centres)

    def _find_centres(self) -> list[_Centre]:
        latents, wanted = self.data.latents, self.options.clusters
        axes = fit_principal_axes(latents, self.data.structural.latent_sd)
        count = min(wanted or choose_cluster_count(len(latents)), len(latents))
        found = cluster_particles(axes.project(latents), count, seed=self.options.seed)
        return [
            _Centre(np.asarray(axes.lift(centre), np.float64), int(size))
            for centre, size in zip(found.centres, found.populations, strict=True)
        ]

    def _find_mask(self, centres: list[_Centre]) -> Tensor:
        """Give the mask of all states: that of the consensus, and about the model in each."""
        size = self.data.data.pixel_size
        mask = load_mask(self.options.mask, self.data.data.box, size)
        if mask is not None:
            return mask
        mask = self.data.mask
        for beads in self._beads_at(centres):
            mask = mask_model(self.data.model.coarse, beads, mask, size)
        return mask

    def _beads_at(self, centres: list[_Centre]) -> FloatArray:
        latents = np.stack([centre.latent for centre in centres])
        return np.asarray(self.data.model.beads(latents).double().numpy())

    def _calibrate(self, halves: HalfMaps, mask: Tensor, centres: list[_Centre]) -> LinearModel:
        """Choose, per shell and region, how kernels and the map of all particles are combined."""
        both = torch.stack([halves.first, halves.second])
        model = LinearModel(
            volumes=both.mean(0, keepdim=True),
            half_volumes=both[:, None],
            variances=np.zeros(0),
            mask=mask,
            noise=self.data.noise.power,
            bandwidths=np.asarray(BANDWIDTHS),
            mixture=empty_mixture(self._split_regions(mask, centres)),
        )
        return fit_mixture(self.job, self._decoder(model), self._spread_targets())

    def _decoder(self, model: LinearModel) -> KernelDecoder:
        return KernelDecoder(model, self.source, self.data.posterior, self.data.data.half)

    def _split_regions(self, mask: Tensor, centres: list[_Centre]) -> Tensor:
        """Soft masks of where the beads that move most are, in any state, and of the rest."""
        coarse, size = self.data.model.coarse, self.data.data.pixel_size
        states = self._beads_at(centres)
        motion = np.sqrt(np.square(states - coarse.coordinates).sum(-1).mean(0))
        moving = find_moving(motion).chosen
        places = np.concatenate([coarse.coordinates[None], states])[:, moving].reshape(-1, 3)
        share = mask_around(places, mask.shape[-1], size)
        return torch.stack([mask * share, mask * (1 - share)])

    def _spread_targets(self) -> FloatArray:
        """Latents of particles drawn evenly along the direction in which they differ most."""
        latents = self.data.latents
        axes = fit_principal_axes(latents, self.data.structural.latent_sd)
        order = np.argsort(axes.project(latents)[:, 0])
        rng = np.random.default_rng(self.options.seed)
        parts = np.array_split(order, min(TARGETS, len(order)))
        return latents[[rng.choice(part) for part in parts]]

    # -- results -------------------------------------------------------------------------------

    def _write(self, model: LinearModel, halves: HalfMaps, centres: list[_Centre]) -> None:
        job, data, posterior = self.job, self.data.data, self.data.posterior
        size = data.pixel_size
        data.write_particles(
            job.path,
            latents=posterior.mean,
            latent_sd=np.sqrt(np.einsum("nkk->nk", posterior.covariance)),
            contrast=posterior.contrast,
            log_likelihood=self.data.structural.particles["log_likelihood"].to_numpy(np.float64),
        )
        save_posterior(job.path, posterior, data.half)
        model.save(job.path, size)
        index = VolumeIndex(job.path, size)
        curve = halves.correlate(model.mask)
        names = index.write_half_maps(
            "mean_", (halves.first.numpy(), halves.second.numpy()), "consensus"
        )
        index.write(
            "mean", halves.combine(model.mask, curve), "mean", "consensus",
            resolution=fsc_resolution(curve, size),
            n_effective=float(len(data)),
            half_maps=names,
        )  # fmt: skip
        index.write("mask", model.mask, "mask", "mask of all states")
        curves = [fsc_entry("consensus: masked, corrected", "mean.mrc", curve, size)]
        curves += self._write_states(index, self._decoder(model), centres)
        write_curves(job, fsc=curves)
        job.update(
            **data.describe(posterior.mean.shape[1]),
            resolution_angstrom=fsc_resolution(curve, size),
            density={"by": "kernel"},
        )
        job.decide(
            "prior", "none in the maps",
            "maps are averages of the particles whose latents are near; the atomic model has found "
            "the latents, and its density lies beside each map for comparison",
        )  # fmt: skip
        tell_missing(job, self.data)

    def _write_states(
        self, index: VolumeIndex, decoder: KernelDecoder, centres: list[_Centre]
    ) -> list[dict[str, object]]:
        """Write a map of each cluster and the model's density beside it; give the FSC curves."""
        size, entries = self.data.data.pixel_size, []
        progress = self.job.progress(len(centres), "maps")
        for number, centre in enumerate(centres, start=1):
            z = centre.latent
            made, curve = decoder.decode(z), decoder.fsc(z)
            name, label = f"cluster_{number}", f"cluster {number}"
            first, second = made.half_maps
            index.write(
                name, made.volume, "cluster", label,
                resolution=fsc_resolution(curve, size),
                n_effective=round(made.n_effective, 1),
                half_maps=index.write_half_maps(f"{name}_", (first, second), label),
                z=z.tolist(),
                population=centre.population,
                fsc=np.round(curve, 5).tolist(),
            )  # fmt: skip
            index.write(
                f"model_{number}", self.data.model.densities(z[None])[0], "state",
                f"atomic model, {label}", z=z.tolist(),
            )  # fmt: skip
            entries.append(fsc_entry(f"{label}: masked, corrected", f"{name}.mrc", curve, size))
            progress.advance(1)
        return entries
