"""The validation of a job, and the audit of its atomic model, in its report."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cryosway._errors import CryoswayError
from cryosway.engine import read_job_info
from cryosway.jobs import find_validations, is_validation, open_job
from cryosway.report._contents import Contents, Stage
from cryosway.report._html import section
from cryosway.report._page_data import show_supplement
from cryosway.report._pictures import Pictures
from cryosway.report._style import BLUE, QUIET, figure_style, new_figure


def make_validation_section(contents: Contents, pictures: Pictures, given: Path | None) -> str:
    """Show the validation of a job: one that is given, or that lies in a folder beside the job's.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    pictures : Pictures
        Where pictures are kept.
    given : Path or None
        Folder of a validation.

    Raises
    ------
    CryoswayError
        When the folder that is given is no validation of this job.
    """
    job = open_job(contents.root)
    found = find_validations(job) if given is None else [given]
    if not found:
        return ""
    folder = found[-1]
    if not is_validation(folder, job):
        message = f"{folder} is no validation of {contents.root}: give the --out of its validate"
        raise CryoswayError(message)
    stage = Stage("validation", folder, read_job_info(folder))
    return section("validation", "Validation", show_supplement(stage, pictures))


def make_audit_section(contents: Contents, pictures: Pictures) -> str:
    """Show the latest audit of an atomic model, unless it is a step with a section of its own."""
    found = contents.audit
    if found is None or found.path in [stage.path.resolve() for stage in contents.stages]:
        return ""
    title = str(found.supplement.get("title", "Audit"))
    return section("audit", title, show_supplement(found, pictures))


def plot_losses(curves: Mapping[str, ArrayLike]) -> Figure:
    """Plot losses of a training by epoch, one panel each; the last third is drawn thick.

    Parameters
    ----------
    curves : mapping
        By name, shape (E,).

    Returns
    -------
    matplotlib.figure.Figure
    """
    with figure_style():
        figure, axes = new_figure(1, len(curves), height=2.6)
        for place, (name, values) in enumerate(curves.items()):
            axis: Axes = axes[0, place]
            curve = np.asarray(values, np.float64)
            epochs = np.arange(1, len(curve) + 1)
            last = max(3, len(curve) // 3)
            axis.plot(epochs, curve, color=QUIET, linewidth=1.2, marker=".", markersize=3)
            axis.plot(epochs[-last:], curve[-last:], color=BLUE, linewidth=2.4)
            axis.set_title(name)
            axis.set_xlabel("epoch (number)")
            axis.ticklabel_format(axis="y", useOffset=False)
        axes[0, 0].set_ylabel("mean over the epoch (nats)")
    return figure
