"""What to believe of a job's heterogeneity: the verdict of its validation, else its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from cryosway.engine import read_job_info, read_json
from cryosway.jobs._job import Job

SUMMARY_NAME = "validation.json"
SIGNIFICANT = 0.01
"""p-value under which a direction is called real."""
DOUBTFUL = 0.1
"""p-value under which a direction may be real where the verdict is undecided."""


@final
@dataclass(frozen=True)
class Verdict:
    """Whether particles differ by more than noise.

    Attributes
    ----------
    word
        homogeneous, heterogeneous or undecided; empty where nothing can tell.
    directions
        As in job.json's ``heterogeneity``.
    validation
        Folder of the validation that says so, or None where it is the job itself.
    """

    word: str = ""
    directions: tuple[dict[str, Any], ...] = ()
    validation: Path | None = None

    @property
    def homogeneous(self) -> bool:
        """Whether no differences were found."""
        return self.word == "homogeneous"

    @property
    def real(self) -> int:
        """Number of directions that stand out from noise, or, while undecided, that may."""
        level = DOUBTFUL if self.word == "undecided" else SIGNIFICANT
        p_values = [one.get("p_value") for one in self.directions]
        return sum(p is not None and p < level for p in p_values)


def read_verdict(job: Job, validation: Path | None = None) -> Verdict:
    """Read whether a job's particles differ.

    Parameters
    ----------
    job : Job
        Any job.
    validation : Path, optional
        Folder of a validation of it; by default the latest beside the job that has a null test.

    Returns
    -------
    Verdict
        Of the validation; where there is none, of the job itself.
    """
    folders = find_validations(job)[::-1] if validation is None else [validation]
    for folder in folders:
        if found := read_job_info(folder).get("heterogeneity"):
            return _read(found, folder)
    return _read(job.main.info.get("heterogeneity") or job.info.get("heterogeneity") or {})


def find_validations(job: Job) -> list[Path]:
    """Find the finished validations of a job in the folders beside it, the latest last."""
    beside = job.path.resolve().parent.glob(f"*/{SUMMARY_NAME}")
    found = [path.parent for path in beside if is_validation(path.parent, job)]
    return sorted(found, key=lambda folder: str(read_job_info(folder)["updated"]))


def is_validation(folder: Path, job: Job) -> bool:
    """Tell whether a folder holds a finished validation of a job as it is now."""
    if not (folder / SUMMARY_NAME).exists() or not (folder / "job.json").exists():
        return False
    info = read_job_info(folder)
    if info.get("command") != "validate" or info.get("status") != "finished":
        return False
    main = job.main
    same = Path(read_json(folder / SUMMARY_NAME)["job"]) == main.path.resolve()
    return same and str(info["updated"]) >= str(main.info.get("created", ""))


def _read(found: dict[str, Any], validation: Path | None = None) -> Verdict:
    return Verdict(str(found.get("verdict", "")), tuple(found.get("directions") or ()), validation)
