"""`demo`: the whole pipeline on adenylate kinase, which opens and closes, with a known answer."""

from pathlib import Path
from typing import Any

from cryosway.engine import JobFolder
from cryosway.jobs import Job, open_job
from cryosway.methods._options import DemoOptions, RunOptions
from cryosway.methods._run.run import STEPS, Control, finish_with_report, run_steps
from cryosway.methods._truth_comparison import compare_with_truth, write_comparison
from cryosway.particles import read_particles
from cryosway.simulate import SimulatedSet, adenylate_kinase_states, simulate

_STATES = 21
_COMPARED = 5
_SMALL = {"clusters": 4}  # enough for one motion
_LENGTH = 192.0  # Å, of the box


def demo(
    out: str | Path = "demo",
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Show the whole pipeline on simulated images of adenylate kinase opening.

    Images of states between the deposited closed and open structures (PDB 1AKE, 4AKE) go
    through every step of ``run``; latents and maps are then compared with the truth.

    Parameters
    ----------
    out : path
        Job folder, with ``report.html``.
    resume, overwrite : bool
        Whether to go on with an unfinished demo, or to replace one with other options.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        CPU threads; all by default.
    **options
        Fields of `DemoOptions`.

    Returns
    -------
    Job
        Answers for its ``linear`` step.

    Raises
    ------
    CryoswayError
        When an option is wrong or the folder cannot be written.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.demo("demo")  # doctest: +SKIP
    """
    checked = DemoOptions.check("demo", options)
    places = ("simulate", *STEPS, "truth")
    with JobFolder.start(
        out, "demo", checked, {}, resume=resume, overwrite=overwrite, keep=places
    ) as job:
        if not job.already_finished:
            job.update(stages={name: name for name in places}, main="linear")
            _fill_folder(job, checked, Control(device, threads))
    finish_with_report(Path(out))
    return open_job(out)


def _fill_folder(job: JobFolder, options: DemoOptions, control: Control) -> None:
    with job.stage("simulate"):
        simulated = _simulate(job.path / "simulate", options, control)
    particles = read_particles(simulated.particles)
    run_options = RunOptions.check("demo", {**_SMALL, "seed": options.seed})
    run_steps(job, particles, run_options, control)
    with job.stage("truth"):
        _compare(job, simulated, options)


def _simulate(folder: Path, options: DemoOptions, control: Control) -> SimulatedSet:
    return simulate(
        adenylate_kinase_states(_STATES),
        folder,
        n=options.images,
        box=options.box,
        pixel_size=_LENGTH / options.box,
        snr=options.snr,
        seed=options.seed,
        shift=10.0,
        threads=control.threads,
        overwrite=True,
    )


def _compare(job: JobFolder, simulated: SimulatedSet, options: DemoOptions) -> None:
    """Compare with the truth, in a job of its own that the report shows."""
    fitted = open_job(job.path / "linear")
    inputs = {"particles": fitted.info["inputs"].get("particles")}
    with JobFolder.start(
        job.path / "truth", "truth", options, inputs, overwrite=True
    ) as comparison:
        if not comparison.already_finished:
            found = compare_with_truth(fitted, simulated, _COMPARED)
            write_comparison(comparison, found)
            comparison.log(
                f"R² of the true coordinate from the latents: {found.r_squared:.3f}; area under "
                f"FSC {found.auc_model.mean():.3f}, consensus {found.auc_consensus.mean():.3f}"
            )
