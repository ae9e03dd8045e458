"""`dock`: where a model lies in a map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, select_device, set_threads, write_json
from cryosway.jobs import Job, open_job
from cryosway.methods._confidence import carry_scores, keep_placed, read_restraints
from cryosway.methods._dock_agreement import Agreement, measure_agreement
from cryosway.methods._dock_check import model_points
from cryosway.methods._dock_correlation import ModelPoints
from cryosway.methods._dock_map import DockingMap
from cryosway.methods._dock_refine import Placement
from cryosway.methods._dock_search import SearchPlan, fit_locally, search_placements
from cryosway.methods._options import DockOptions
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.particles import write_map
from cryosway.protein import AtomTable, move_structure, read_structure
from cryosway.report import draw_docking, figure_png

FloatArray = NDArray[np.float64]

#: What correlation at least speaks of a fit, and how far the next placement should be behind.
_LEAST_CORRELATION = 0.4
_CLEAR_GAP = 0.05
_LISTED = 10


def dock(
    model: str | Path,
    map: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Place a model in a map as a rigid body.

    All rotations (evenly spread over SO(3)) and all shifts (by FFT) are searched at low
    resolution, in the map and in its mirror; the best are fitted at finer resolution. What is
    compared is the correlation within the model's envelope, so that the model may be a part of
    what the map shows.

    Parameters
    ----------
    model : path
        mmCIF or PDB, also gzipped.
    map : path
        MRC map. Its voxel size and origin count.
    out : path
        Job folder: ``models/docked.cif`` in the map's frame, ``docking.json`` (transform,
        correlations, model–map FSC), a picture, and ``session.cxc`` for ChimeraX; where the
        mirror fits, ``volumes/mirrored.mrc``.
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
        When a file cannot be read, the model does not fit into the map's box, or fits nowhere.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.dock("1ake.cif", "consensus.mrc", out="docked")  # doctest: +SKIP
    >>> job.info["docking"]["correlation"]  # doctest: +SKIP
    0.93
    """
    settings = DockOptions.check("protein dock", options)
    set_threads(threads)
    inputs = {"model": fingerprint_file(model), "map": fingerprint_file(map)}
    with JobFolder.start(
        out, "protein dock", settings, inputs, resume=resume, overwrite=overwrite
    ) as job:
        if not job.already_finished:
            _dock(job, Path(model), Path(map), settings, select_device(device))
    return open_job(out)


def _dock(
    job: JobFolder, model: Path, path: Path, options: DockOptions, device: torch.device
) -> None:
    target = DockingMap.read(path)
    restraints = read_restraints(model, options.confidence)
    atoms = keep_placed(read_structure(model, chains=options.chains or None), restraints, model)
    points, few = model_points(atoms)
    _require_room(points, target, model, path)
    plan = SearchPlan.of(points, target.pixel_size, options.resolution)
    with job.stage("search"):
        found = _find(job, target, (points, few), plan, options, device)
    best = found[0]
    if best.correlation < _LEAST_CORRELATION:
        msg = (
            f"{model} fits {path} nowhere: the best correlation is {best.correlation:.2f} at "
            f"{plan.fine:.0f} Å; is the map of this molecule, with the right pixel size "
            f"({target.pixel_size:.4g} Å), and is protein white in it?"
        )
        raise CryoswayError(msg)
    image = target.mirrored() if best.mirrored else target
    docked = atoms.with_coordinates(_move(best, points, atoms.coordinates))
    with job.stage("model and map"):
        agreement = measure_agreement(docked, image)
    with job.stage("writing"):
        result = _Result(found, points, plan, agreement)
        _write(job, result, image, docked, model, path)
        carry_scores(model, options.confidence, job.path / "models" / "docked.cif")


def _require_room(points: ModelPoints, target: DockingMap, model: Path, path: Path) -> None:
    size = float(np.ptp(points.coordinates, axis=0).max())
    room = target.box * target.pixel_size
    if size > room:
        msg = (
            f"{model} is {size:.0f} Å long but {path} only {room:.0f} Å wide; give a larger map, "
            "or a part of the model with --chains"
        )
        raise CryoswayError(msg)


def _find(
    job: JobFolder,
    target: DockingMap,
    points: tuple[ModelPoints, ModelPoints],
    plan: SearchPlan,
    options: DockOptions,
    device: torch.device,
) -> list[Placement]:
    atoms, few = points
    if options.search == "local":
        start = Placement(np.eye(3), atoms.centre, 0.0)
        return fit_locally(target, atoms, plan, [start])
    job.log(
        f"{plan.rotations} rotations, {plan.step:.0f}° apart, at {plan.coarse:.0f} Å; "
        f"then fits at {plan.fine:.0f} Å"
    )
    with job.progress(plan.rotations, "rotations") as progress:
        return search_placements(
            target,
            few,
            atoms,
            plan,
            device,
            mirror=options.hand == "both",
            advance=progress.advance,
        )


def _move(placement: Placement, points: ModelPoints, coordinates: FloatArray) -> FloatArray:
    turned = (coordinates - points.centre) @ placement.rotation.T
    return np.asarray(turned + placement.centre, np.float64)


@dataclass(frozen=True, eq=False)
class _Result:
    """Placements, the best first, of a model, and how its density agrees with the map."""

    placements: list[Placement]
    points: ModelPoints
    plan: SearchPlan
    agreement: Agreement

    def translation(self, placement: Placement) -> FloatArray:
        """Å, so that x ↦ rotation · x + translation."""
        return placement.centre - placement.rotation @ self.points.centre

    def best_of_hand(self, *, mirrored: bool) -> float | None:
        scores = [p.correlation for p in self.placements if p.mirrored == mirrored]
        return max(scores, default=None)

    def summarise(self) -> dict[str, Any]:
        """Give the numbers for docking.json."""
        best = self.placements[0]
        same = [p for p in self.placements[1:] if p.mirrored == best.mirrored]
        following = same[0].correlation if same else None
        return {
            "rotation": best.rotation,
            "translation": self.translation(best),
            "mirrored": best.mirrored,
            "correlation": best.correlation,
            "next": following,
            "other_hand": self.best_of_hand(mirrored=not best.mirrored),
            "fit_resolution_angstrom": self.plan.fine,
            "low_pass_angstrom": self.agreement.resolution,
            "placements": [
                {
                    "rotation": p.rotation,
                    "translation": self.translation(p),
                    "mirrored": p.mirrored,
                    "correlation": p.correlation,
                }
                for p in self.placements[:_LISTED]
            ],
            "fsc": self.agreement.as_curve(),
        }

    def sentences(self) -> list[str]:
        """Say what was found."""
        numbers = self.summarise()
        best = self.placements[0]
        hand = "the mirror of the map" if best.mirrored else "the map"
        fit = f"a correlation of {best.correlation:.2f} at {self.plan.fine:.0f} Å"
        lines = [f"The model fits {hand} with {fit}."]
        if numbers["other_hand"] is not None:
            gap = best.correlation - numbers["other_hand"]
            sure = "clearly" if gap > _CLEAR_GAP else "NOT clearly"
            lines.append(
                f"The other hand fits with {numbers['other_hand']:.2f}: the hand is {sure} told."
            )
        if best.mirrored:
            lines.append(
                "So the map has the wrong hand: volumes/mirrored.mrc has the right one, and the "
                "poses that made the map are to be mirrored."
            )
        if numbers["next"] is not None:
            gap = best.correlation - numbers["next"]
            lines.append(
                f"The next placement has {numbers['next']:.2f}"
                + ("." if gap > _CLEAR_GAP else ": a symmetric molecule, or an unsure fit.")
            )
        limit = self.agreement.resolution
        lines.append(f"Model and map agree to {limit:.1f} Å (FSC 0.5, masked, corrected).")
        return lines


def _write(
    job: JobFolder, result: _Result, image: DockingMap, docked: AtomTable, model: Path, path: Path
) -> None:
    best = result.placements[0]
    models = job.path / "models"
    models.mkdir(exist_ok=True)
    move_structure(model, models / "docked.cif", best.rotation, result.translation(best))
    shown = path.resolve()
    if best.mirrored:
        (job.path / "volumes").mkdir(exist_ok=True)
        shown = Path("volumes") / "mirrored.mrc"
        x, y, z = image.origin
        write_map(job.path / shown, image.density, image.pixel_size, (x, y, z))
    numbers = result.summarise()
    write_json(job.path / "docking.json", numbers)
    figures = job.path / "figures"
    figures.mkdir(exist_ok=True)
    (figures / "docking.png").write_bytes(_draw(result, image, docked))
    lines = result.sentences()
    for line in lines:
        job.log(line)
    caption = "Map (grey, summed along an axis) and model; agreement of the two."
    supplement = {
        "title": "Docking",
        "sentences": lines,
        "figures": [{"file": "figures/docking.png", "caption": caption}],
    }
    write_json(job.path / "supplement.json", supplement)
    _write_session(job.path, shown)
    kept = ("correlation", "next", "other_hand", "mirrored", "low_pass_angstrom")
    job.update(docking={name: numbers[name] for name in kept})


def _draw(result: _Result, image: DockingMap, docked: AtomTable) -> bytes:
    smooth = image.resample(result.plan.fine, 4.0)
    trace = docked.select_atoms(["CA", "C1'"])
    return figure_png(
        draw_docking(
            smooth.density,
            smooth.pixel_size,
            smooth.origin,
            trace.coordinates,
            trace.chains.tolist(),
            result.agreement.as_curve(),
        )
    )


def _write_session(folder: Path, shown: Path) -> None:
    """Write a ChimeraX script that opens the map and the docked model."""
    lines = [
        "# ChimeraX script written by cryosway: open it with File > Open",
        "set bgColor white",
        "lighting soft",
        f'open "{shown}"',
        "open models/docked.cif",
        "volume #1 style surface transparency 0.6",
        "view",
        "",
    ]
    (folder / "session.cxc").write_text("\n".join(lines), encoding="utf-8")
