"""The public call: one self-contained page about a job."""

from pathlib import Path

from cryosway.engine import FolderLock, explain_os_errors, write_atomically
from cryosway.jobs import Job, open_job
from cryosway.report._chimerax import write_session
from cryosway.report._contents import Contents, gather_contents
from cryosway.report._html import fill_page
from cryosway.report._page_data import (
    describe_input,
    make_decisions_section,
    make_landscape_section,
    make_next_section,
    make_particles_section,
    make_run_section,
    make_supplement_section,
    make_warnings_section,
)
from cryosway.report._page_maps import (
    choose_report_threshold,
    make_cluster_section,
    make_consensus_section,
    make_resolution_section,
    make_traversal_section,
)
from cryosway.report._page_models import make_models_section
from cryosway.report._page_states import make_states_section
from cryosway.report._page_volumes import make_volumes_section
from cryosway.report._pictures import Pictures
from cryosway.report._validation import make_audit_section, make_validation_section
from cryosway.report._verdict import write_verdict


def report(job: Job | str | Path, *, validation: str | Path | None = None) -> Path:
    """Write ``report.html``, ``figures/`` and scripts of ChimeraX into a job's folder.

    The page needs no network and no other file. It starts with the verdict in plain sentences;
    a section appears only where the folder has data for it.

    Parameters
    ----------
    job : Job or path
        Any job, or the folder of a ``run`` with its steps.
    validation : path, optional
        Folder of its `validate`; by default the latest that lies beside the job's folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    CryoswayError
        When the folder is not a job, or cannot be written.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.report("job2")  # doctest: +SKIP
    PosixPath('job2/report.html')
    """
    folder = open_job(job).path
    contents = gather_contents(folder)
    with explain_os_errors(folder), FolderLock(folder):
        page = build_page(contents, None if validation is None else Path(validation))
        path = folder / "report.html"
        with write_atomically(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return path


def build_page(contents: Contents, validation: Path | None = None) -> str:
    """Draw all pictures and fill the page; writes ``figures/`` and ``session.cxc`` on the way.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    validation : Path, optional
        Folder of a validation of it.

    Returns
    -------
    str
        The HTML.
    """
    pictures = Pictures(contents.root / "figures")
    level = choose_report_threshold(contents)
    sections = [
        make_supplement_section(contents, pictures),
        make_validation_section(contents, pictures, validation),
        make_audit_section(contents, pictures),
        make_landscape_section(contents, pictures),
        make_states_section(contents, pictures, level),
        make_volumes_section(contents, pictures, level),
        make_models_section(contents, pictures),
    ]
    if level is not None:
        write_session(contents, level)
        sections += [
            make_cluster_section(contents, pictures, level),
            make_traversal_section(contents, pictures, level),
            make_consensus_section(contents, pictures, level),
        ]
    sections += [
        make_resolution_section(contents, pictures),
        make_particles_section(contents, pictures),
        make_decisions_section(contents),
        make_warnings_section(contents),
        make_run_section(contents),
        make_next_section(contents, validation, has_maps=level is not None),
    ]
    title = f"Report on {contents.root.resolve().name}"
    return fill_page(title, describe_input(contents), write_verdict(contents, validation), sections)
