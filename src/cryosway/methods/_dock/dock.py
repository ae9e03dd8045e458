"""`dock`: where models lie in a map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, select_device, set_threads
from cryosway.jobs import Job, open_job
from cryosway.methods._dock.assembly import Assembler
from cryosway.methods._dock.bodies import RigidBody
from cryosway.methods._dock.check import model_points
from cryosway.methods._dock.correlation import ModelPoints
from cryosway.methods._dock.explained import explain
from cryosway.methods._dock.given import read_given
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.results import DockingResult, write_docking
from cryosway.methods._dock.search import SearchPlan
from cryosway.methods._options import DockOptions
from cryosway.methods._protein.confidence import keep_placed, read_restraints
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.validate import make_solvent_mask


def dock(
    model: str | Path | Sequence[str | Path],
    map: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Place models in a map, each as a rigid body.

    All rotations (evenly spread over SO(3)) and all shifts (by FFT) are searched at low
    resolution, in the map and in its mirror; the best are fitted at finer resolution. What is
    compared is the correlation within the model's envelope, so that the model may be a part of
    what the map shows.

    Several models, and copies of a model, are placed one after the other, the heaviest first,
    each in what the others leave of the map, and fitted once more when all are there. What is not
    in the map is said to be missing.

    Parameters
    ----------
    model : path or sequence of path
        mmCIF or PDB, also gzipped. A model given twice is there twice.
    map : path
        MRC map. Its voxel size and origin count.
    out : path
        Job folder: ``models/docked.cif`` in the map's frame, ``docking.json`` (transforms,
        correlations, model–map FSC, what density is explained), a picture, and ``session.cxc``
        for ChimeraX; where the mirror fits, ``volumes/mirrored.mrc``.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1; for the search.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `DockOptions`.

    Returns
    -------
    Job
        Its ``info["docking"]`` has the numbers.

    Raises
    ------
    CryoswayError
        When a file cannot be read, a model does not fit into the map's box, or none fits.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.dock("1ake.cif", "consensus.mrc", out="docked")  # doctest: +SKIP
    >>> job.info["docking"]["correlation"]  # doctest: +SKIP
    0.93
    """
    settings = DockOptions.check("protein dock", options)
    given = [model] if isinstance(model, str | Path) else list(model)
    models = _count_copies([Path(path) for path in given], settings)
    set_threads(threads)
    inputs = {"model": fingerprint_file(given[0]), "map": fingerprint_file(map)}
    inputs |= {f"model {n}": fingerprint_file(path) for n, path in enumerate(given[1:], start=2)}
    if isinstance(settings.mask, Path):
        inputs["mask"] = fingerprint_file(settings.mask)
    with JobFolder.start(
        out, "protein dock", settings, inputs, resume=resume, overwrite=overwrite
    ) as job:
        if not job.already_finished:
            _dock(job, models, Path(map), settings, select_device(device))
    return open_job(out)


def _count_copies(models: list[Path], options: DockOptions) -> dict[Path, int | None]:
    """Say how many copies there are of each model; None for as many as fit."""
    if len(models) > 1 and (options.chains or isinstance(options.confidence, Path)):
        msg = "protein dock: chains and a file of confidences are of one model; dock it by itself"
        raise CryoswayError(msg)
    if len(options.copies) not in (1, len(models)):
        msg = (
            f"protein dock: copies has {len(options.copies)} values for {len(models)} models; "
            "give one of each, or one for all"
        )
        raise CryoswayError(msg)
    copies = options.copies if len(options.copies) > 1 else options.copies * len(models)
    if options.models == "all" and (len(models) > 1 or copies != (1,)):
        msg = (
            "protein dock: models=all is of one file and one copy of it; write the assembly as "
            "chains of one model, or dock it by itself"
        )
        raise CryoswayError(msg)
    counts: dict[Path, int | None] = {}
    for path, count in zip(models, copies, strict=True):
        before = counts.get(path, 0)
        counts[path] = None if count == "auto" or before is None else before + count
    return counts


def _dock(
    job: JobFolder,
    models: dict[Path, int | None],
    path: Path,
    options: DockOptions,
    device: torch.device,
) -> None:
    target = DockingMap.read(path)
    assembler = Assembler(
        job, target, _open_mask(target, options.mask), device,
        local=options.search == "local", both_hands=options.hand == "both",
    )  # fmt: skip
    bodies = [_make_body(model, count, target, path, options) for model, count in models.items()]
    with job.stage("search"):
        assembler.place(bodies)
    if not assembler.placed:
        best = max(assembler.absent, key=lambda absent: absent.correlation or 0.0)
        at = f"{best.correlation or 0:.2f} at {best.body.plan.fine:.0f} Å"
        msg = (
            f"{best.body.path} fits {path} nowhere: the best correlation is {at}; is the map of "
            f"this molecule, with the right pixel size ({target.pixel_size:.4g} Å), and is protein "
            "white in it?"
        )
        raise CryoswayError(msg)
    with job.stage("models and map"):
        agreements = assembler.finish()
        explained = explain(assembler.smooth, assembler.placed, assembler.level)
    with job.stage("writing"):
        result = DockingResult.of(assembler, agreements, explained)
        write_docking(job, result, path, options.confidence)
        assembler.forget()


def _make_body(
    model: Path, copies: int | None, target: DockingMap, path: Path, options: DockOptions
) -> RigidBody:
    restraints = read_restraints(model, options.confidence)
    given = read_given(model, options.models, chains=options.chains or None)
    atoms = keep_placed(given, restraints, model)
    points, few = model_points(atoms)
    _require_room(points, target, model, path)
    plan = SearchPlan.of(points, target.pixel_size, options.resolution)
    name = model.name.removesuffix(".gz").rsplit(".", 1)[0]
    return RigidBody(model, name, atoms, points, few, copies, plan)


def _require_room(points: ModelPoints, target: DockingMap, model: Path, path: Path) -> None:
    size = float(np.ptp(points.coordinates, axis=0).max())
    room = target.box * target.pixel_size
    if size > room:
        msg = (
            f"{model} is {size:.0f} Å long but {path} only {room:.0f} Å wide; give a larger map, "
            "or a part of the model with --chains"
        )
        raise CryoswayError(msg)


def _open_mask(target: DockingMap, mask: str | Path) -> DockingMap:
    """Open the solvent mask that an option names, on the grid of the map."""
    if isinstance(mask, Path):
        found = DockingMap.read(mask)
        if found.box != target.box or abs(found.pixel_size / target.pixel_size - 1) > 0.01:
            msg = (
                f"the mask {mask} has {found.box} voxels of {found.pixel_size:.4g} Å a side, the "
                f"map {target.box} of {target.pixel_size:.4g} Å; resample it to the map's"
            )
            raise CryoswayError(msg)
        return found
    values = np.ones_like(target.density)
    if mask == "auto":
        values = make_solvent_mask(target.density, target.pixel_size)
    return DockingMap(values, target.pixel_size, target.origin)
