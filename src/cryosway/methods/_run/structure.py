"""The steps of a run that lead from sequences or models to an atomic ensemble with evidence."""

from pathlib import Path
from typing import Any, final

import numpy as np

from cryosway.engine import JobFolder
from cryosway.jobs import Job
from cryosway.methods._audit.audit import audit
from cryosway.methods._density.density import density
from cryosway.methods._dock.dock import dock
from cryosway.methods._motions.motions import motions
from cryosway.methods._options import RunOptions
from cryosway.methods._protein.fold import fold
from cryosway.methods._run.models import (
    Body,
    choose_folded,
    choose_predictions,
    read_chains,
    write_chains,
)
from cryosway.methods._structural.structural import structural
from cryosway.particles import Particles, read_map, write_map

STRUCTURE_STEPS = ("fold", "dock", "structural", "motions", "density")
AUDIT_STEP = "audit"

_MIRROR = np.diag([1.0, 1.0, -1.0])


@final
class StructureSteps:
    """Fold, dock, follow: each step in a folder of its own within the run's.

    Parameters
    ----------
    job
        Of the run.
    options
        Of the run, which give sequences or models.
    how
        Device and threads, as arguments of a step.
    """

    def __init__(self, job: JobFolder, options: RunOptions, how: dict[str, Any]) -> None:
        self.job, self.options, self.how = job, options, how

    def find_bodies(self) -> list[Body]:
        """Find the models to dock; folds where there is a checkpoint."""
        options = self.options
        if options.model is not None:
            return [Body(options.model, 1)]
        if options.prediction:
            return choose_predictions(options)
        assert options.sequence is not None
        chains, folder = read_chains(options.sequence), self.job.path / "fold"
        listed = self.job.path / "sequences.fasta"  # each once, whatever its copies
        write_chains(chains, listed)
        with self.job.stage("fold"):
            fold(
                listed, folder,
                checkpoint=options.checkpoint, engine=options.engine,
                alignments=options.alignments, database=options.database, fetch=options.fetch,
                **self.how,
            )  # fmt: skip
        return choose_folded(chains, folder)

    def dock(
        self, bodies: list[Body], consensus: Job, prepared: Particles, mask: str | Path
    ) -> tuple[Particles, str | Path]:
        """Dock into a half-map of the consensus; give particles and mask the hand that fits.

        The other half-map is not looked at, so that it can judge what comes of it.
        """
        volumes = consensus.path / "volumes"
        with self.job.stage("dock"):
            docked = dock(
                [body.model for body in bodies],
                volumes / "half1.mrc",
                self.job.path / "dock",
                copies=tuple(body.copies or "auto" for body in bodies),
                mask="none" if mask == "none" else volumes / "mask.mrc",
                confidence=self.options.confidence,  # and beside the docked model from here on
                **self.how,
            )
        numbers = docked.info["docking"]
        if not numbers["mirrored"]:
            return prepared, mask
        why = (
            f"the models fit the mirror of the map with a correlation of "
            f"{numbers['correlation']:.2f}, and the map with {numbers['other_hand']:.2f}: what "
            "follows has mirrored poses"
        )
        self.job.decide("hand", "mirrored", why)
        self.job.log(f"the poses have the wrong hand: {why}")
        # Projections are the same for x and M x, M along the beam: so R becomes M R M.
        mirrored = prepared.with_poses(_MIRROR @ prepared.rotations @ _MIRROR, prepared.shifts)
        return mirrored, self._mirror_mask(mask)

    def _mirror_mask(self, mask: str | Path) -> str | Path:
        if not isinstance(mask, Path):
            return mask
        values, info = read_map(mask)
        path = self.job.path / "mask_mirrored.mrc"
        write_map(path, np.roll(values[::-1], 1, axis=0), info.pixel_size)
        return path

    def follow(self, prepared: Particles, linear: Job, mask: str | Path) -> Job:
        """Let the docked model move, and see how much of its motion is in the images."""
        job, options = self.job, self.options
        with job.stage("structural"):
            moving = structural(
                prepared,
                job.path / "structural",
                model=job.path / "dock" / "models" / "docked.cif",
                linear=linear.path,
                epochs=options.structural_epochs,
                mask=mask,
                seed=options.seed,
                **self.how,
            )
        with job.stage("motions"):
            timing = {name: self.how[name] for name in ("threads", "overwrite")}
            motions(moving, job.path / "motions", seed=options.seed, **timing)
        with job.stage("density"):
            density(
                moving, job.path / "density", by="deformed", mask=mask, seed=options.seed,
                **self.how,
            )  # fmt: skip
        if options.audit:
            with job.stage(AUDIT_STEP):
                audit(moving, job.path / AUDIT_STEP, seed=options.seed, **self.how)
        return moving
