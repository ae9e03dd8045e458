"""`audit`: how much of what a structural job found is in the data, and how much is its model's."""

from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import (
    JobFolder,
    select_device,
    set_threads,
    write_json,
)
from cryosway.inference import NoiseModel
from cryosway.jobs import Job, open_job
from cryosway.methods._audit.controls import (
    Controls,
    measure_made_up,
    measure_removed,
    measure_turned,
    name_regions,
    sample_ensemble,
)
from cryosway.methods._audit.density import (
    Differences,
    compare_regions,
    judge_particles,
    map_differences,
)
from cryosway.methods._audit.regions import Regions, find_regions
from cryosway.methods._audit.words import describe_audit, tabulate_regions
from cryosway.methods._consensus import read_noise
from cryosway.methods._density.data import require_structural
from cryosway.methods._density.regions import mask_around
from cryosway.methods._held_out import choose_rows
from cryosway.methods._options import AuditOptions
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.methods._structural.halves import Fitted, average_beads, open_halves
from cryosway.methods._structural.latents import contrast_spread
from cryosway.methods._structural.model import StructuralModel
from cryosway.optics import filter_volumes
from cryosway.particles import read_map, write_map
from cryosway.protein import describe_residues
from cryosway.report import plot_slices, write_figure

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Rows = npt.NDArray[np.int64]

_SAMPLE = 256  # particles in which regions are looked for
_JUDGED = 4_000  # most particles that regions are judged on


def audit(
    job: Job | str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Check a structural job for motion that its data do not support.

    Five control fits say what the model does without data: on pure noise, on images of the
    reference standing still, on images shuffled against their poses, with a reference that lacks
    a domain, with one in which a domain was turned. Then the motion of every domain is looked for
    in the images without the prior: in Fourier points that no latent was inferred from, and in
    backprojected maps of both ends of the motion. The job itself is left as it is.

    Parameters
    ----------
    job : Job or path
        Of `structural`; with half-set models, particles are judged by that of the other half-set.
    out : path
        Job folder: ``audit.json``, difference maps, control fits, and a section of the report.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        Where to compute: auto (the first GPU, else the CPU), cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `AuditOptions`.

    Returns
    -------
    Job
        Whose ``info["audit"]`` has the verdicts.

    Raises
    ------
    CryoswayError
        When it is no finished structural job, or the region does not fit its model.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.audit("job5", "job7").info["audit"]["regions"]  # doctest: +SKIP
    """
    chosen = AuditOptions.check("audit", options)
    structural = require_structural(open_job(job))
    set_threads(threads)
    inputs = {"structural": fingerprint_file(structural.path / "model.safetensors")}
    place = select_device(device)
    with JobFolder.start(
        out, "audit", chosen, inputs, sources={"job": structural.path},
        resume=resume, overwrite=overwrite,
    ) as folder:  # fmt: skip
        if not folder.already_finished:
            Audit(folder, structural, chosen, place).run()
    return open_job(out)


@final
class Audit:
    """One audit: control fits that resume by themselves, then the test of every region."""

    def __init__(
        self, job: JobFolder, structural: Job, options: AuditOptions, device: torch.device
    ) -> None:
        self.job, self.options, self.device = job, options, device
        self.fitted = Fitted.open(structural.path)
        count = len(self.fitted.data)
        self.rows = choose_rows(count, options.particles, options.seed)
        self.judged = choose_rows(count, _JUDGED, options.seed)
        self.noise: NoiseModel = read_noise(structural.path, self.fitted.data.box)

    def run(self) -> None:
        """Do all stages and write what they found."""
        ensemble = sample_ensemble(self.fitted, _SAMPLE, self.options.seed)
        regions = find_regions(self.fitted.model.coarse, ensemble)
        members = regions.choose(self.options.region)
        found = self._measure_job(members) | self._run_controls(members)
        with self.job.stage("regions"):
            found |= self._judge_regions(regions)
        self._write(found)

    def _measure_job(self, members: IndexArray) -> dict[str, Any]:
        fitted, config = self.fitted, self.fitted.job.info["config"]
        return {
            "job": measure_made_up(fitted.job),
            "control_particles": len(self.rows),
            "control_epochs": self.options.epochs or config["epochs"],
            "wrong_region": describe_residues(fitted.model.coarse, members),
            "turn_degrees": self.options.turn,
        }

    def _run_controls(self, members: IndexArray) -> dict[str, Any]:
        controls = Controls(self.job, self.fitted, self.rows, self.noise, self.options, self.device)
        with self.job.stage("noise"):
            noise = measure_made_up(controls.on_noise())
        with self.job.stage("still images"):
            still = measure_made_up(controls.on_still())
        with self.job.stage("shuffled images"):
            shuffled = measure_made_up(controls.on_shuffled())
        with self.job.stage("domain removed"):
            removed = measure_removed(controls.without(members), self.fitted, self.rows, members)
        with self.job.stage("domain turned"):
            control = controls.turned(members)
            turned = measure_turned(control, self.fitted, self.rows, members)
            turned |= self._correlate_turned(control, members)
        made_up = {"noise": noise, "still": still, "shuffled": shuffled}
        return {**made_up, "removed": removed, "turned": turned}

    def _correlate_turned(self, control: Job, members: IndexArray) -> dict[str, float]:
        """Correlate the consensus, which knows no model, with densities where the region may be."""
        model = StructuralModel.load(control.path)
        own = self.fitted
        density, info = read_map(own.job.path / "volumes" / "mean.mrc")
        places = {
            "before": model.deformation.reference.cpu(),
            "after": average_beads(model, control.latents),
            "of_job": average_beads(own.model, own.job.latents),
        }
        points = np.concatenate([x[torch.from_numpy(members)].numpy() for x in places.values()])
        mask = mask_around(points, len(density), float(info.pixel_size)).numpy() > 0.5
        found = {}
        for name, beads in places.items():
            shown = filter_volumes(own.model.views.density(beads[None]), own.model.views.scale)[0]
            inside = np.corrcoef(shown.numpy()[mask], density[mask])[0, 1]
            found[f"correlation_{name}"] = float(inside)
        return found

    def _judge_regions(self, regions: Regions) -> dict[str, Any]:
        fitted, options = self.fitted, self.options
        halves = open_halves(fitted)
        images = fitted.data.open_source(self.device).with_noise(self.noise)
        with self.job.progress(len(self.judged), "regions") as progress:
            judged = judge_particles(
                fitted, halves, images, self.judged, regions,
                contrast_spread(fitted.job), options.seed, progress.advance,
            )  # fmt: skip
        maps = map_differences(fitted, images, judged, regions, options.seed)
        self._write_maps(maps)
        gain = judged.unseen.gain("mean")
        return {
            "judged_particles": len(self.judged),
            "independent": judged.independent,
            "gain_over_mean": gain.difference,
            "gain_over_mean_error": gain.standard_error,
            "regions": compare_regions(judged, regions, maps, name_regions(regions)),
        }

    def _write_maps(self, maps: Differences) -> None:
        folder = self.job.path / "differences"
        folder.mkdir(exist_ok=True)
        named = {"half1": maps.halves[0], "half2": maps.halves[1], "model": maps.model}
        for name, density in named.items():
            write_map(folder / f"{name}.mrc", density.numpy(), maps.pixel_size)
        level = float((maps.halves[0] + maps.halves[1]).std()) / 2
        shown = {
            "half-set 1": maps.halves[0].numpy(),
            "half-set 2": maps.halves[1].numpy(),
            "model": (maps.model * level / maps.model.std()).numpy(),
        }
        drawn = plot_slices(shown, maps.pixel_size)
        write_figure(self.job.path / "figures" / "differences.png", drawn)

    def _write(self, found: dict[str, Any]) -> None:
        write_json(self.job.path / "audit.json", found)
        sentences = describe_audit(found)
        for line in sentences:
            self.job.log(line)
        header, rows = tabulate_regions(found["regions"])
        caption = (
            "Central slices of what changes between the ends of the main motion: maps of the "
            "half-sets, made from Fourier points that no latent was inferred from, and the "
            "model's density."
        )
        supplement = {
            "title": "What the data support",
            "sentences": sentences,
            "figures": [{"file": "figures/differences.png", "caption": caption}],
            "header": header,
            "rows": rows,
        }
        write_json(self.job.path / "supplement.json", supplement)
        self.job.update(audit=found)
