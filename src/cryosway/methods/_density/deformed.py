"""`density --by deformed`: one state's map from all particles, moved along the model's motions."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import FourierWeights, MovedParticles, solve_moved
from cryosway.methods._density.motions import HalfMotions, ParticleFrames
from cryosway.methods._density.regions import find_moving, mask_model, mask_region
from cryosway.methods._density.results import HalfMaps, MovedResult, write_moved
from cryosway.methods._density.run import DensityRun
from cryosway.methods._density.state import State, find_state
from cryosway.methods._shared_choices import load_mask
from cryosway.protein import MovingFrames, blend_near
from cryosway.volumes import DeformedGrid, voxel_points

Rows = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
_SAMPLE = 2000  # particles by which the beads that move most are found


@dataclass(frozen=True, eq=False)
class _Canonical:
    """The state that is solved for: beads (N, 3) and the voxels that may hold density."""

    state: State
    beads: FloatArray
    mask: Tensor


@final
class DeformedRun(DensityRun):
    """Half-maps of the particles as they are, and of the same moved to one state."""

    def run(self) -> None:
        """Do all stages."""
        job = self.job
        with job.stage("state"):
            canonical = self._find_canonical()
        with job.stage("as they are"):
            before, weights = self.solve_unmoved()
        with job.stage("moved"):
            after, residuals = self._solve_moved(canonical, weights)
        with job.stage("writing"):
            write_moved(job, self.data, self._gather(canonical, before, after, residuals))

    @cached_property
    def _motions(self) -> HalfMotions:
        return HalfMotions.open(self.data)

    def _find_canonical(self) -> _Canonical:
        data, size = self.data, self.data.data.pixel_size
        state = find_state(self.options.state, data.structural)
        coarse = data.model.coarse
        beads = coarse.coordinates
        if state.latent is not None:
            beads = data.model.beads(state.latent[None])[0].double().numpy()
        mask = load_mask(self.options.mask, data.data.box, size)
        if mask is None:
            mask = mask_model(coarse, beads, data.mask, size)
        self.job.decide("state", state.label, "all particles are moved to it before averaging")
        return _Canonical(state, beads, mask)

    def _solve_moved(
        self, canonical: _Canonical, weights: list[FourierWeights]
    ) -> tuple[HalfMaps, list[list[float]]]:
        """Solve each half-set from its own images, as its own model moves them."""
        maps, residuals = [], []
        for half in (0, 1):
            name = f"moved_{half + 1}"
            kept = self.job.load_checkpoint(name)
            if kept is None:
                rows = (self.data.data.half == half).nonzero()[:, 0].numpy()
                total = (self.options.iterations + 1) * len(rows)
                progress = self.job.progress(total, f"moved, half {half + 1}")
                found = solve_moved(
                    self._particles(canonical, half), rows, weights[half],
                    iterations=self.options.iterations, watch=progress.advance,
                )  # fmt: skip
                kept = {"map": found.density}, {"residuals": list(found.residuals)}
                self.job.save_checkpoint(name, *kept)
            maps.append(torch.as_tensor(kept[0]["map"]))
            residuals.append([float(value) for value in kept[1]["residuals"]])
        return HalfMaps(*maps), residuals

    def _particles(self, canonical: _Canonical, half: int) -> MovedParticles:
        motions, moving = self._motions.of_half[half], self._moving(canonical)
        inside = canonical.mask > 0
        size = self.data.data.pixel_size
        follow = blend_near(voxel_points(inside, size).numpy(), canonical.beads)
        grid = DeformedGrid(inside, size, *follow, device=self.device)
        frames = ParticleFrames(motions, moving)
        present = motions.present if motions.missing else None
        return MovedParticles(self.source, grid, frames, motions.contrast, present)

    def _moving(self, canonical: _Canonical) -> MovingFrames:
        moved = replace(self.data.model.coarse, coordinates=canonical.beads)
        return MovingFrames(moved.neighbourhoods)

    def _gather(
        self,
        canonical: _Canonical,
        before: HalfMaps,
        after: HalfMaps,
        residuals: list[list[float]],
    ) -> MovedResult:
        displacement, motion = self._measure_motion(canonical.beads)
        region, described = self._choose_region(canonical, motion)
        return MovedResult(
            state=canonical.state,
            mask=canonical.mask,
            before=before,
            after=after,
            residuals=residuals,
            motions=self._motions,
            displacement=displacement,
            region=region,
            region_is=described,
        )

    def _choose_region(
        self, canonical: _Canonical, motion: FloatArray
    ) -> tuple[Tensor | None, str]:
        """Give the mask of the region that is judged by itself, if any, and what it is."""
        wanted, size = self.options.region, self.data.data.pixel_size
        if wanted == "none":
            return None, ""
        given = load_mask(wanted, self.data.data.box, size)
        if given is not None:
            return given, f"as given in {wanted}"
        moving = find_moving(motion)
        mask = mask_region(self.data.model.coarse, canonical.beads, moving, canonical.mask, size)
        return mask, moving.describe()

    def _measure_motion(self, beads: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rms displacement from the state: of every particle (N,), and of every bead, Å."""
        latents = self.data.latents
        step = max(1, len(latents) // _SAMPLE)
        each, total, count = np.zeros(len(latents)), np.zeros(len(beads)), 0
        for rows in np.array_split(np.arange(len(latents)), max(1, len(latents) // 256)):
            moved = self.data.model.beads(latents[rows]).double().numpy()
            squared = np.square(moved - beads).sum(-1)
            each[rows] = np.sqrt(squared.mean(1))
            sampled = rows % step == 0
            total, count = total + squared[sampled].sum(0), count + int(sampled.sum())
        return each, np.sqrt(total / max(count, 1))
