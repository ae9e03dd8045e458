"""What a figure needs of a job, and what is said where the job lacks it."""

from pathlib import Path

import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.jobs import Job, open_job
from cryosway.report._contents import Contents, MapFile, gather_contents
from cryosway.report._page_maps import choose_report_threshold

JobLike = Job | str | Path


def open_contents(job: JobLike) -> Contents:
    """Gather what a job or its folder holds."""
    return gather_contents(open_job(job).path)


def choose_level(contents: Contents, threshold: float | None) -> float | None:
    """Give the contour level: the one asked for, else that of the report."""
    return choose_report_threshold(contents) if threshold is None else threshold


def require_particles(contents: Contents) -> pd.DataFrame:
    """Give the particles, or say that there are none."""
    particles = contents.particles
    if particles is None:
        raise say_absent(contents, "particles", "its method lists none")
    return particles


def require_columns(contents: Contents, *names: str) -> pd.DataFrame:
    """Give the particles with these columns, or say that they lack them."""
    particles = require_particles(contents)
    if not set(names) <= set(particles):
        raise say_absent(contents, " and ".join(names), "its particles come without")
    return particles


def require_maps(contents: Contents, kind: str, hint: str) -> list[MapFile]:
    """Give the maps of a kind, or say how they are made."""
    items = contents.maps(kind)
    if not items:
        raise say_absent(contents, f"maps of kind {kind}", hint)
    return items


def require_direction(contents: Contents, direction: int) -> list[MapFile]:
    """Give the maps along a principal direction, or say which directions there are."""
    items = contents.traversals.get(direction, [])
    if len(items) < 2:
        known = ", ".join(map(str, contents.traversals))
        hint = f"there are {known}" if known else name_command("landscape", contents)
        raise say_absent(contents, f"maps along direction {direction}", hint)
    return items


def name_command(command: str, contents: Contents) -> str:
    """Say which command makes what is missing."""
    return f"run cryosway {command} {contents.root} first"


def say_absent(contents: Contents, what: str, hint: str) -> CryoswayError:
    """Make the error that says what a folder lacks."""
    return CryoswayError(f"{contents.root} holds no {what}; {hint}")
