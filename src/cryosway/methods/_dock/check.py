"""Does a model lie in a map? Position, turn, hand, sign, scale and frame, each measured."""

from dataclasses import dataclass
from os import PathLike
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.methods._dock.correlation import ModelPoints, calm_threads
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.readings import Comparison, Finding, Frame
from cryosway.methods._dock.search import SAMPLING
from cryosway.protein import AtomTable, coarse_grain, read_structure

FloatArray = NDArray[np.float64]
Verdict = Literal["good", "shifted", "turned", "mirrored", "inverted", "scaled", "unrelated"]

_RESOLUTION = 12.0
_LEAST_CORRELATION = 0.4
_TOLERANCE = 2.0
_MEND = "place it with: cryosway protein dock MODEL MAP --out JOB"
_GAIN, _RELIEF = 0.1, 0.5
_SCALE_TOLERANCE, _SCALE_RELIEF = 0.02, 0.15
_FRAMES: dict[Frame, str] = {
    "map": "as the map's header says",
    "centred": "with the centre of the box at (0, 0, 0)",
    "corner": "with the first voxel at (0, 0, 0), against the map's header",
}


@dataclass(frozen=True, eq=False)
class DockingCheck:
    """What a comparison of a model with a map found.

    Attributes
    ----------
    verdict
        ``good``, or what is wrong: ``shifted``, ``turned`` (wrong orientation), ``mirrored``
        (the map has the other hand), ``inverted`` (the map is dark where the model is),
        ``scaled`` (wrong pixel size), ``unrelated`` (the model fits nowhere).
    sentence
        The same for people, with how to mend it.
    resolution
        At which was compared, Å.
    frame
        Which reading of the model's coordinates fits: ``map`` (those of the map's header),
        ``centred`` (box centre at 0) or ``corner`` (first voxel at 0).
    correlation
        Local correlation as given, in that frame.
    fitted
        The best after a fit nearby.
    shift, angle
        Å, (3,), by which the model is to be moved; degrees by which it is to be turned.
    scale
        Size of the model in the map over its own.
    correlations
        Of every reading, fitted: ``as given``, ``shifted``, ``turned``, ``mirrored``, ``inverted``.
    to_box
        Å, (3,): what to add to the model's coordinates to have the box's centre at 0, the frame
        of poses.
    """

    verdict: Verdict
    sentence: str
    resolution: float
    frame: Frame
    correlation: float
    fitted: float
    shift: FloatArray
    angle: float
    scale: float
    correlations: dict[str, float]
    to_box: FloatArray

    def require(self) -> None:
        """Raise a `CryoswayError` unless the verdict is good."""
        if self.verdict != "good":
            raise CryoswayError(self.sentence)

    def place_in_box(self, atoms: AtomTable) -> AtomTable:
        """Give the model with the centre of the box at (0, 0, 0), as poses want it."""
        return atoms.with_coordinates(atoms.coordinates + self.to_box)


def check_docking(
    model: AtomTable | str | PathLike[str],
    target: DockingMap | str | PathLike[str],
    *,
    resolution: float | None = None,
) -> DockingCheck:
    """Compare a model, where it lies, with a map.

    The model's density is correlated with the map as given, at all other shifts, with the
    map's mirror, with its negative, in the 23 other orientations of a cube, at other scales, and
    in the frames in which programs write models.

    Parameters
    ----------
    model
        Atoms, or a structure file.
    target
        The map, or its file.
    resolution
        To which both are filtered, Å; 12 by default, more for coarse maps.

    Returns
    -------
    A verdict with numbers.

    Examples
    --------
    >>> check = check_docking("model.cif", "consensus.mrc")  # doctest: +SKIP
    >>> check.require()  # doctest: +SKIP
    """
    atoms = model if isinstance(model, AtomTable) else read_structure(model)
    placed = target if isinstance(target, DockingMap) else DockingMap.read(target)
    points, few = model_points(atoms)
    chosen = max(resolution or _RESOLUTION, 3 * placed.pixel_size)
    tolerance = max(_TOLERANCE, placed.pixel_size)
    with calm_threads(int(placed.box * placed.pixel_size / chosen * SAMPLING)):
        found = Comparison(placed, points, few, chosen).find(tolerance)
    verdict = _decide(found, tolerance, points.radius_of_gyration)
    return DockingCheck(
        verdict=verdict,
        sentence=_say(verdict, found, chosen, placed.pixel_size),
        resolution=chosen,
        frame=found.frame,
        correlation=found.given,
        fitted=found.placement.correlation,
        shift=found.shift,
        angle=found.angle,
        scale=found.scale,
        correlations=found.scores,
        to_box=found.start - points.centre - placed.centre,
    )


def model_points(atoms: AtomTable) -> tuple[ModelPoints, ModelPoints]:
    """Give the atoms of a model as points, and fewer points, one per residue, about one centre."""
    coarse = coarse_grain(atoms.without_hydrogens())
    points = ModelPoints.of(coarse.atoms.coordinates, coarse.strengths)
    found = coarse.scatterers("residue")
    centres = found.centres(coarse.coordinates) - points.centre
    return points, ModelPoints(centres, found.amplitudes, points.centre)


def _decide(found: Finding, tolerance: float, radius_of_gyration: float) -> Verdict:
    if found.placement.correlation < _LEAST_CORRELATION:
        return "unrelated"
    if found.reading in ("mirrored", "inverted"):
        return cast(Verdict, found.reading if found.clear else "turned")
    rim = np.deg2rad(found.angle) * 1.5 * radius_of_gyration
    # A model of another conformation may fit a little better elsewhere: that is no mistake.
    matters = found.gain > _GAIN or found.relief > _RELIEF
    if matters and rim > 1.25 * tolerance:
        return "turned"
    if matters and np.linalg.norm(found.shift) > tolerance:
        return "shifted"
    matters = found.scale_relief > _SCALE_RELIEF
    return "scaled" if matters and abs(found.scale - 1) > _SCALE_TOLERANCE else "good"


def _say(verdict: Verdict, found: Finding, resolution: float, pixel_size: float) -> str:
    at = f"at {resolution:.0f} Å"
    given, best = f"{found.given:.2f}", f"{found.placement.correlation:.2f}"
    numbers = f"it correlates {given} as given and {best}"
    x, y, z = found.shift
    moved = f"({x:.1f}, {y:.1f}, {z:.1f}) Å"
    if verdict == "turned" and found.clear | found.is_near:
        return (
            f"the model has another orientation than the map: {numbers} when turned by "
            f"{found.angle:.0f}° and moved by {moved}, {at}; {_MEND}"
        )
    sentences: dict[Verdict, str] = {
        "good": (
            f"the model lies in the map, {_FRAMES[found.frame]}: it correlates {given} {at}, and "
            f"{best} after a fit"
        ),
        "shifted": f"the model is off by {moved}: {numbers} when moved there, {at}; {_MEND}",
        "turned": (
            f"the model lies otherwise than the map: it correlates {given} as given and at most "
            f"{best} in the placements tried, {at}; {_MEND}"
        ),
        "mirrored": (
            f"the map has the other hand than the model: {numbers} with the map's mirror, {at}; "
            f"mirror the map and the poses that made it, or {_MEND}"
        ),
        "inverted": (
            f"the map is dark where the model is: {numbers} with the sign of the map changed, "
            f"{at}; multiply the map by −1"
        ),
        "scaled": (
            f"the model fits the map best at {found.scale:.3f} times its size: the pixel size of "
            f"the map should be {pixel_size / found.scale:.4g} Å, not {pixel_size:.4g} Å; correct "
            "it in the map's header"
        ),
        "unrelated": (
            f"the model fits the map nowhere near where it is: the best correlation is {best} "
            f"{at}; is it of this molecule? If so, {_MEND}"
        ),
    }
    return sentences[verdict]
