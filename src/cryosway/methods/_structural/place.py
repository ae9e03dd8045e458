"""Where a model lies in the particles: compared with a half-map, and with the images."""

import warnings

import numpy as np
from torch import Tensor

from cryosway._errors import CryoswayWarning
from cryosway.engine import JobFolder, read_json
from cryosway.inference import Consensus, weigh_shells
from cryosway.methods._dock.agreement import measure_agreement
from cryosway.methods._dock.check import check_docking
from cryosway.methods._dock.given import read_given
from cryosway.methods._dock.images import check_views
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import write_curves
from cryosway.methods._options import StructuralOptions
from cryosway.methods._protein.confidence import keep_placed
from cryosway.protein import AtomTable, CoarseModel, Restraints, coarse_grain


def place_model(
    job: JobFolder,
    options: StructuralOptions,
    data: FitInput,
    consensus: Consensus,
    restraints: Restraints | None,
) -> CoarseModel:
    """Read the model, the centre of the box at 0; refuse it where it does not lie in the map.

    Images that do not show it there, by their projections, are warned of: those that move far
    may fit it badly.
    """
    atoms = read_given(options.model, options.models, waters=True).without_hydrogens()
    if options.check_docking:
        atoms = _place_in_map(job, options, data, consensus, restraints, atoms)
    coarse = coarse_grain(atoms, nucleotide_beads=options.nucleotide_beads)
    for line in coarse.describe():
        job.log(line)
    if restraints is not None:
        job.decide("confidences", {}, "; ".join(restraints.describe()))
    if options.check_docking:
        seen = keep_placed(coarse.atoms, restraints, options.model)
        look_at_images(job, seen, data)
    return coarse


def write_agreement(
    job: JobFolder, coarse: CoarseModel, consensus: Consensus, pixel_size: float
) -> None:
    """Add the FSC of the model, as it was given, with the consensus to curves.json."""
    target = _open_map(consensus.unmasked, pixel_size)
    curve = measure_agreement(coarse.atoms, target).as_curve()
    label = "model as given and map, masked, corrected"
    entry = {**curve, "label": label, "volume": "unmasked.mrc"}
    write_curves(job, fsc=[*read_json(job.path / "curves.json")["fsc"], entry])


def _place_in_map(
    job: JobFolder,
    options: StructuralOptions,
    data: FitInput,
    consensus: Consensus,
    restraints: Restraints | None,
    atoms: AtomTable,
) -> AtomTable:
    """Give the model in the frame of poses, if it lies in a half-map, in whatever frame."""
    mask, curve = consensus.mask, consensus.curves["corrected"]
    half_map = weigh_shells(consensus.half_maps[0] * mask, curve) * mask
    placed = keep_placed(atoms, restraints, options.model)
    found = check_docking(placed, _open_map(half_map, data.pixel_size))
    found.require()
    job.decide("place of the model", found.frame, found.sentence)
    return found.place_in_box(atoms)


def look_at_images(job: JobFolder, atoms: AtomTable, data: FitInput) -> None:
    """Compare images with projections of the model; warn where they do not show it."""
    found = check_views(atoms, data.particles, sign=data.sign)
    job.decide("projections of the model", found.verdict, found.sentence)
    # What moves shifts the best place of the whole; that is no mistake.
    if found.verdict not in ("good", "shifted"):
        warnings.warn(found.sentence, CryoswayWarning, stacklevel=2)


def _open_map(density: Tensor, pixel_size: float) -> DockingMap:
    """Take a map of which the centre of the box is at 0, as a model without its map has it."""
    origin = np.full(3, -(len(density) // 2) * pixel_size)
    return DockingMap(density.numpy(), pixel_size, origin)
