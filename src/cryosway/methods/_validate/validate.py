"""`validate`: which of what a job found is real, part by part, in sentences with their numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.engine import (
    JobFolder,
    read_json,
    read_table,
    select_device,
    set_threads,
    write_json,
    write_table,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.methods._validate.convergence import check_convergence
from cryosway.methods._validate.half_fits import HalfFits
from cryosway.methods._validate.halves import Halves
from cryosway.methods._validate.leakage import check_leakage
from cryosway.methods._validate.null import NullTest
from cryosway.methods._validate.options import Part, ValidateOptions
from cryosway.methods._validate.parts import Finding
from cryosway.methods._validate.subject import REFITTED, Subject
from cryosway.methods._validate.support import SupportTest
from cryosway.methods._validate.truth import check_truth, find_truth
from cryosway.report import write_figure

SUMMARY_NAME = "validation.json"
TITLES: dict[Part, str] = {
    "null": "null test",
    "halves": "half-sets",
    "leakage": "leakage",
    "support": "support",
    "convergence": "convergence",
    "truth": "comparison with the truth",
}


def validate(
    job: Job | str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Check what a job found, and say in plain sentences which of it is real.

    The method is fitted again to homogeneous copies of the data (null) and to each half-set
    (halves); latents are searched for what they should not know (leakage); features of maps are
    looked for in images with no model in between (support); the training is looked over
    (convergence); and where the truth is known, everything is compared with it. The job itself is
    left as it is.

    Parameters
    ----------
    job : Job or path
        With latents: of `linear`, `vae`, `autodecoder`, `structural`, `run`, or imported.
    out : path
        Job folder: ``validation.json``, ``particles.parquet``, figures, a section of the report.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        Where to compute: auto (the first GPU, else the CPU), cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `ValidateOptions`.

    Returns
    -------
    Job
        Whose ``info["validation"]`` has the verdicts.

    Raises
    ------
    CryoswayError
        When the job has no latents or is not finished, or a part that is asked for cannot be done.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.validate("job2", "job8", parts=["null"]).info["validation"]  # doctest: +SKIP
    {'null': 'no heterogeneity found'}
    """
    chosen = ValidateOptions.check("validate", options)
    subject = Subject.open(open_job(job))
    parts, skipped = choose_parts(subject, chosen)
    set_threads(threads)
    with JobFolder.start(
        out, "validate", chosen, _fingerprint(subject, chosen), sources={"job": subject.job.path},
        resume=resume, overwrite=overwrite,
    ) as folder:  # fmt: skip
        if not folder.already_finished:
            Validation(folder, subject, chosen, device, threads).run(parts, skipped)
    return open_job(out)


def choose_parts(subject: Subject, options: ValidateOptions) -> tuple[list[Part], dict[Part, str]]:
    """Choose the parts to be done, and say why others are not.

    Raises
    ------
    CryoswayError
        When a part that is asked for cannot be done.
    """
    if options.truth is None and "truth" in options.parts:
        message = "truth is asked for: give --truth truth.parquet of the simulation"
        raise CryoswayError(message)
    reasons = {
        part: reason for part in TITLES if (reason := _find_obstacle(part, subject, options))
    }
    if impossible := [reasons[part] for part in options.parts if part in reasons]:
        raise CryoswayError(impossible[0])
    wanted = options.parts or tuple(TITLES)
    parts: list[Part] = [part for part in TITLES if part in wanted and part not in reasons]
    return parts, {} if options.parts else reasons


def _find_obstacle(part: Part, subject: Subject, options: ValidateOptions) -> str | None:
    path, command = subject.job.path, subject.command
    if part in ("null", "halves") and command not in REFITTED:
        return (
            f"{part}: {path} is a job of {command}, which cannot be fitted again here; fit "
            "cryosway vae to its particles and validate that"
        )
    if part == "support" and not subject.has_images:
        return f"{part}: the images of {path} are not known; import it with --particles"
    if part == "convergence" and not (path / "metrics.csv").exists():
        return f"{part}: {path} has kept no record of its training (metrics.csv)"
    if part == "truth" and options.truth is None:
        return f"{part}: no truth is given"
    return None


def _fingerprint(subject: Subject, options: ValidateOptions) -> dict[str, str]:
    inputs = {"model": fingerprint_file(subject.job.path / "model.safetensors")}
    if options.truth is not None:
        inputs["truth"] = str(find_truth(options.truth).resolve())
    if options.particles is not None:
        inputs["particles"] = fingerprint_file(options.particles)
    return inputs | {f"volume {n}": fingerprint_file(p) for n, p in enumerate(options.volume, 1)}


@final
class Validation:
    """One validation: parts one after the other, each kept when it is done."""

    def __init__(
        self,
        job: JobFolder,
        subject: Subject,
        options: ValidateOptions,
        device: str,
        threads: int | None,
    ) -> None:
        self.job, self.subject, self.options = job, subject, options
        self._device, self._threads = device, threads

    def run(self, parts: list[Part], skipped: dict[Part, str]) -> None:
        """Do all parts and write what they found."""
        self._begin(skipped)
        for part in parts:
            if part in self._read()["parts"]:
                continue
            with self.job.stage(TITLES[part]):
                self._write_part(part, self._work[part]())
        self._finish()

    @property
    def _work(self) -> dict[Part, Callable[[], Finding]]:
        job, subject, options = self.job, self.subject, self.options
        place = self._device, self._threads
        fits = HalfFits(job, subject, options.particles, *place)
        device = select_device(self._device)
        return {
            "null": lambda: NullTest(job, subject, options, *place).run(),
            "halves": lambda: Halves(job, subject, options, fits, place).run(),
            "leakage": lambda: check_leakage(job, subject, options),
            "support": lambda: SupportTest(job, subject, options, fits, device).run(),
            "convergence": lambda: check_convergence(subject),
            "truth": lambda: check_truth(job, subject, options, self._threads),
        }

    def _read(self) -> dict[str, Any]:
        return dict(read_json(self.job.path / SUMMARY_NAME))

    def _begin(self, skipped: dict[Part, str]) -> None:
        """Write what later parts add to, unless an earlier run has."""
        if not (self.job.path / "particles.parquet").exists():
            names = [n for n in ("index", "image_name") if n in self.subject.job.particles]
            write_table(self.job.path / "particles.parquet", self.subject.job.particles[names])
        if not (self.job.path / SUMMARY_NAME).exists():
            summary = {
                "job": str(self.subject.job.path.resolve()),
                "command": self.subject.command,
                "parts": {},
                "skipped": skipped,
            }
            write_json(self.job.path / SUMMARY_NAME, summary)

    def _write_part(self, part: Part, finding: Finding) -> None:
        """Write columns and pictures, then, as the sign that the part is done, its entry."""
        if finding.columns:
            path = self.job.path / "particles.parquet"
            table, added = read_table(path), pd.DataFrame(finding.columns)
            kept = table.drop(columns=list(added), errors="ignore")
            write_table(path, pd.concat([kept, added], axis=1))
        figures = []
        for picture in finding.pictures:
            name = f"figures/validation_{picture.name}.png"  # as it is copied into reports, too
            write_figure(self.job.path / name, picture.figure)
            figures.append({"file": name, "caption": picture.caption})
        for line in finding.sentences:
            self.job.log(line)
        summary = self._read()
        summary["parts"][part] = {
            "verdict": finding.verdict,
            "sentences": finding.sentences,
            "figures": figures,
            **finding.found,
        }
        write_json(self.job.path / SUMMARY_NAME, summary)

    def _finish(self) -> None:
        """Write the section of the report, and the verdicts into job.json."""
        summary = self._read()
        parts = summary["parts"]
        if heterogeneity := parts.get("null", {}).get("heterogeneity"):
            self.job.update(heterogeneity=heterogeneity)
        self.job.update(validation={part: entry["verdict"] for part, entry in parts.items()})
        write_json(self.job.path / "supplement.json", describe_validation(summary))


def describe_validation(summary: dict[str, Any]) -> dict[str, Any]:
    """Turn ``validation.json`` into a section of the report (``supplement.json``)."""
    done: list[tuple[str, dict[str, Any]]] = [
        (title, summary["parts"][part])
        for part, title in TITLES.items()
        if part in summary["parts"]
    ]
    return {
        "title": "Validation",
        "sentences": [line for _, entry in done for line in entry["sentences"]],
        "figures": [figure for _, entry in done for figure in entry["figures"]],
        "header": ["check", "verdict"],
        "rows": [[title, entry["verdict"]] for title, entry in done],
    }
