"""The readings of a model and a map: as given, moved, turned, mirrored, inverted, and scaled."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosway.methods._dock.correlation import (
    ENVELOPE,
    ModelPoints,
    ShiftSearch,
    make_kernel,
    splat_points,
)
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.refine import LocalFit, Placement
from cryosway.methods._dock.search import SAMPLING
from cryosway.validate import fsc, soften_mask

FloatArray = NDArray[np.float64]
Volume = NDArray[np.float32]
Frame = Literal["map", "centred", "corner"]

#: By how much another reading must be better than the one as given to be believed.
_MARGIN = 0.03
#: By how much a hand, sign or turn must be better than all others for it to be named.
_CLEAR = 0.08
#: By how much another frame must fit better than that of the map's header.
_OTHER_FRAME = 0.2
_NEAR_DEGREES = 20.0
_SCALE_RESOLUTION, _SCALE_SAMPLING = 8.0, 3.0
_SCALES = np.linspace(0.9, 1.1, 9)


@dataclass(frozen=True, eq=False)
class Finding:
    """The reading that fits best.

    Attributes
    ----------
    reading
        ``as given``, ``shifted``, ``turned``, ``mirrored`` or ``inverted``.
    placement
        Its fit.
    frame, given
        In which frame the model's coordinates fit as they are, and their correlation.
    start
        Shape (3,), Å: where the model's centre is in that frame.
    scale, scale_relief
        Size of the model in the map over its own, 1 where it was not measured; by which part
        that size lessens the disagreement of the two.
    scores
        Correlation of every reading, fitted.
    clear
        Whether it fits much better than readings of another hand or orientation.
    """

    reading: str
    placement: Placement
    frame: Frame
    given: float
    start: FloatArray
    scale: float
    scale_relief: float
    scores: dict[str, float]
    clear: bool

    @property
    def shift(self) -> FloatArray:
        """Å, (3,), by which the model is to be moved."""
        return np.asarray(self.placement.centre - self.start, np.float64)

    @property
    def angle(self) -> float:
        """Degrees by which it is to be turned."""
        return self.placement.angle_to(Placement(np.eye(3), self.start, 0.0))

    @property
    def gain(self) -> float:
        """By how much the fit correlates better."""
        return self.placement.correlation - self.given

    @property
    def relief(self) -> float:
        """By which part the fit lessens what lacks to a correlation of 1."""
        return self.gain / max(1 - self.given, 1e-6)

    @property
    def is_near(self) -> bool:
        """Whether the fit is about where the model was."""
        return self.angle < _NEAR_DEGREES


class Comparison:
    """Compares a model with a map.

    Parameters
    ----------
    target
        The map.
    points, few
        The model as atoms, and as few points with the same centre.
    resolution
        To which both are filtered, Å.
    """

    def __init__(
        self, target: DockingMap, points: ModelPoints, few: ModelPoints, resolution: float
    ) -> None:
        self.target, self.points, self.few, self.resolution = target, points, few, resolution
        self._fit = LocalFit(target, points, resolution)

    def find(self, tolerance: float) -> Finding:
        """Find the reading that fits best; frames closer than `tolerance`, Å, are one."""
        frames = self._frames(tolerance)
        given = {name: self._fit.correlate(np.eye(3), place) for name, place in frames.items()}
        frame = max(given, key=lambda name: abs(given[name]) - _OTHER_FRAME * (name != "map"))
        start = Placement(np.eye(3), frames[frame], given[frame])
        readings = {"as given": self._fit.refine(start), **self._other_readings()}
        scores = {name: placement.correlation for name, placement in readings.items()}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] < scores["as given"] + _MARGIN:
            best = "as given"
        found = readings[best]
        rivals = [p.correlation for p in readings.values() if not _are_alike(p, found)]
        clear = found.correlation > max(rivals, default=-1.0) + _CLEAR
        scale = self._measure_scale(found) if best == "as given" and clear else (1.0, 0.0)
        return Finding(best, found, frame, given[frame], start.centre, *scale, scores, clear)

    def _frames(self, tolerance: float) -> dict[Frame, FloatArray]:
        """Where the model's centre is in the map's frame, by how its coordinates are read."""
        centre = self.points.centre
        frames: dict[Frame, FloatArray] = {"map": centre}
        if np.abs(self.target.centre).max() > tolerance:
            frames["centred"] = centre + self.target.centre
        if np.abs(self.target.origin).max() > tolerance:
            frames["corner"] = centre + self.target.origin
        return frames

    def _other_readings(self) -> dict[str, Placement]:
        """Fit the model at the best shift, turned like a cube, mirrored, and in the negative."""
        coarse = self.target.resample(self.resolution, SAMPLING)
        how = (coarse, self.resolution, self.few, torch.device("cpu"))
        search, turned = ShiftSearch(*how), ShiftSearch(*how, mirror=False)
        turns = Rotation.create_group("O").as_matrix()
        turns = turns[np.argsort([-np.trace(turn) for turn in turns])]  # the identity first
        still = search.correlate(turns[:1])[0].flatten(1)
        starts: dict[str, Placement] = {}
        for name, values in (
            ("shifted", still[0]),
            ("mirrored", still[1]),
            ("inverted", -still[0]),
        ):
            best, index = values.max(dim=0)
            place = search.place(int(index))
            starts[name] = Placement(np.eye(3), place, float(best), name == "mirrored")
        for turn in turns[1:]:
            best, index = turned.correlate(turn[None])[0, 0].flatten().max(dim=0)
            if "turned" not in starts or float(best) > starts["turned"].correlation:
                starts["turned"] = Placement(turn, search.place(int(index)), float(best))
        fits = {
            "shifted": self._fit,
            "turned": self._fit,
            "mirrored": LocalFit(self.target.mirrored(), self.points, self.resolution),
            "inverted": LocalFit(self.target.inverted(), self.points, self.resolution),
        }
        return {name: fits[name].refine(start) for name, start in starts.items()}

    def _measure_scale(self, found: Placement) -> tuple[float, float]:
        """Find the size at which model and map agree best, by a parabola about the best of 9.

        Agreement is the mean of their shell correlations, which sharpening does not change. Also
        given is the part of the disagreement that goes with it: little where the shape differs.
        """
        resolution = max(_SCALE_RESOLUTION, 3 * self.target.pixel_size)
        fine = self.target.resample(resolution, _SCALE_SAMPLING)
        kernel = make_kernel(fine.box, fine.pixel_size, resolution)
        weights = torch.from_numpy(self.points.weights).float()
        place = (found.centre - fine.centre) / fine.pixel_size
        turned = self.points.coordinates @ found.rotation.T / fine.pixel_size
        mask: Volume | None = None
        values = []
        for scale in sorted(_SCALES, key=lambda scale: abs(scale - 1)):
            at = torch.from_numpy(scale * turned + place).float()[None]
            density = splat_points(at, weights, fine.box, kernel)[0].numpy()
            if mask is None:  # that of the model at its own size
                mask = soften_mask(density > ENVELOPE * density.max(), 2.0, 4.0)
            curve = fsc(fine.density * mask, density)
            shells = np.arange(len(curve))
            within = shells < fine.box * fine.pixel_size / resolution
            weight = shells**2 * within
            values.append((scale, float(curve @ weight / weight.sum())))
        scores = np.array([value for _, value in sorted(values)])
        top = int(np.clip(np.argmax(scores), 1, len(scores) - 2))
        low, middle, high = scores[top - 1 : top + 2]
        bend = low - 2 * middle + high
        offset = 0.5 * (low - high) / bend if bend < 0 else 0.0
        scale = float(_SCALES[top] + np.clip(offset, -1, 1) * (_SCALES[1] - _SCALES[0]))
        own = values[0][1]
        return scale, (float(scores.max()) - own) / max(1 - own, 1e-6)


def _are_alike(a: Placement, b: Placement) -> bool:
    return a.mirrored == b.mirrored and a.angle_to(b) < _NEAR_DEGREES
