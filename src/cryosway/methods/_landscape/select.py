"""`select`: particles of a cluster, state, interval, list or condition, for other programs."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.engine import explain_os_errors, write_json, write_table
from cryosway.jobs import Job, open_job
from cryosway.landscape import flag_outliers
from cryosway.methods._export.export import Selection, read_rows
from cryosway.methods._landscape.options import SelectOptions
from cryosway.methods._motions.intervals import find_inside, parse_interval
from cryosway.particles import Particles

Mask = npt.NDArray[np.bool_]


def select(job: Job | str | Path, out: str | Path, **options: Any) -> Path:
    """Choose particles of a job, and write them for RELION or cryoSPARC.

    Every column and the order of rows are those of the file that the job was made from, before
    `prepare`: job.json says where that is, and the job's poses are written into it. Where it is
    gone, the job's ``particles.star`` serves. A STAR or ``.cs`` file given as `particles` is taken
    instead, with its own poses. Beside it are ``rows.txt`` (rows of the job's
    ``particles.parquet``, to be given as `index` again), ``selection.json`` (what was asked, and
    how many that are), ``particles.parquet`` (for each particle of the job whether it was selected,
    and why it is suspicious), and where asked for the job ``maps``.

    Parameters
    ----------
    job : Job or path
        With particles.
    out : path
        Folder for the files, made if need be.
    **options
        See `SelectOptions`: to, cluster, state, interval, index, query, combine, invert, outliers,
        maps, particles, images_dir.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CryoswayError
        When a condition cannot be understood, nothing is left, or files cannot be written.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.select("sway", "open", state=(2,), interval=("contrast=0.7:",))  # doctest: +SKIP
    PosixPath('open')
    """
    settings = SelectOptions.check("select", options)
    main, folder = open_job(job).main, Path(out)
    table = main.particles
    outlier = find_outliers(main)
    found = [(text, mask) for text, mask in _list_conditions(main, settings)]
    chosen = _combine([mask for _, mask in found], len(table), settings)
    rows = np.flatnonzero(_mind_outliers(chosen, outlier != "", settings.outliers))
    if not len(rows):
        message = "no particle is in this selection; ask for less, or see --invert and --combine"
        raise CryoswayError(message)
    selection = Selection.at(main, rows, settings.particles, settings.images_dir)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        selection.write(folder, settings.to, given=settings.particles is not None)
        (folder / "rows.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        write_json(folder / "selection.json", _describe(main, settings, found, rows, outlier))
        write_table(folder / "particles.parquet", _tabulate(table, rows, outlier))
        if settings.maps:
            _backproject(selection, folder / "maps")
    return folder


def find_outliers(job: Job) -> npt.NDArray[np.object_]:
    """Give the reason why each particle is suspicious, or nothing; as written by `states`."""
    table = job.main.particles
    if "outlier" in table:
        return table["outlier"].fillna("").to_numpy(object)
    return flag_outliers(table, job.main.latents, job.main.latent_sd)


def _list_conditions(job: Job, options: SelectOptions) -> Iterator[tuple[str, Mask]]:
    """Give what was asked, in words, and which particles fulfil it."""
    table = job.particles
    for column, numbers, command in (
        ("cluster", options.cluster, "landscape"),
        ("state", options.state, "states"),
    ):
        if numbers:
            text = f"{column} {' or '.join(map(str, numbers))}"
            yield text, _find_numbers(job, column, numbers, command)
    for text in options.interval:
        yield text, find_inside(table, [parse_interval(text)])
    for path in options.index:
        listed = np.zeros(len(table), bool)
        listed[read_rows(path, len(table))] = True
        yield f"rows of {path.name}", listed
    if options.query is not None:
        yield options.query, _ask(table, options.query)


def _find_numbers(job: Job, column: str, numbers: tuple[int, ...], command: str) -> Mask:
    table = job.particles
    if column not in table:
        message = f"{job.path} has no {column}s; run cryosway {command} {job.path} first"
        raise CryoswayError(message)
    there = sorted({int(number) for number in table[column].dropna()})
    missing = [number for number in numbers if number not in there]
    if missing:
        known = ", ".join(map(str, there))
        message = f"there is no {column} {missing[0]} in {job.path}; there are {known}"
        raise CryoswayError(message)
    return table[column].isin(numbers).to_numpy(bool)


def _ask(table: pd.DataFrame, query: str) -> Mask:
    """Evaluate a condition on the columns."""
    try:
        answer = table.eval(query, engine="python")
    except Exception as error:  # of pandas' parser: of many types
        message = (
            f"the query {query!r} cannot be understood ({error}); write it as 'contrast > 0.8 and "
            f"cluster == 2', of the columns {', '.join(map(str, table.columns))}"
        )
        raise CryoswayError(message) from None
    values = np.asarray(answer)
    if values.dtype != np.bool_ or values.shape != (len(table),):
        message = f"the query {query!r} is no condition: it gives {values.dtype}, not true or false"
        raise CryoswayError(message)
    return values


def _combine(masks: list[Mask], count: int, options: SelectOptions) -> Mask:
    if not masks:
        joined = np.ones(count, bool)
    else:
        joined = reduce(np.logical_and if options.combine == "and" else np.logical_or, masks)
    return ~joined if options.invert else joined


def _mind_outliers(chosen: Mask, outlier: Mask, how: str) -> Mask:
    if how == "keep":
        return chosen
    return chosen & (outlier if how == "only" else ~outlier)


def _describe(
    job: Job,
    options: SelectOptions,
    found: list[tuple[str, Mask]],
    rows: npt.NDArray[np.int64],
    outlier: npt.NDArray[np.object_],
) -> dict[str, Any]:
    reasons = pd.Series(outlier[rows]).value_counts()
    return {
        "job": job.path.resolve(),
        "conditions": [{"asked": text, "particles": int(mask.sum())} for text, mask in found],
        "combined_by": options.combine,
        "inverted": options.invert,
        "outliers": options.outliers,
        "particles": len(rows),
        "of": len(outlier),
        "suspicious": {str(reason): int(n) for reason, n in reasons.items() if reason},
    }


def _tabulate(
    table: pd.DataFrame, rows: npt.NDArray[np.int64], outlier: npt.NDArray[np.object_]
) -> pd.DataFrame:
    selected = np.zeros(len(table), bool)
    selected[rows] = True
    return pd.DataFrame(
        {
            "index": table["index"].to_numpy() if "index" in table else np.arange(len(table)),
            "selected": selected,
            "outlier": outlier.astype(str),
        }
    )


def _backproject(selection: Selection, folder: Path) -> None:
    """Make map, half-maps and local resolution of these particles, in the job's half-sets."""
    from cryosway.methods._backproject import backproject

    table = selection.job.particles.iloc[selection.rows]
    particles = selection.particles
    if "half" in table:
        half = table["half"].to_numpy(np.int8)
        particles = Particles(replace(particles.records, half_sets=half))
    if "sign" in table:
        particles = particles.with_contrast(table["sign"].to_numpy(np.int8))
    backproject(particles, folder)
