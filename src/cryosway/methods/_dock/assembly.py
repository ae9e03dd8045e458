"""Place bodies one after the other, each in what the others leave of the map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from cryosway.engine import JobFolder
from cryosway.methods._dock.agreement import Agreement, measure_agreement
from cryosway.methods._dock.bodies import Placed, RigidBody, SmoothMap
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.refine import LocalFit, Placement
from cryosway.methods._dock.search import fit_locally, search_placements

FloatArray = NDArray[np.float64]

#: What correlation at least speaks of a fit. Beside bodies that fit better, a body needs so much
#: of their correlation, and so much of its inside must be in density that is not theirs. A copy
#: needs so much of both of what the first one has, being alike.
_LEAST_CORRELATION = 0.4
_LEAST_OF_BEST, _LEAST_FILLED = 0.65, 0.7
_LEAST_OF_COPY = 0.75


@dataclass(frozen=True, eq=False)
class Absent:
    """A body that is not in the map, or not as often as wanted.

    Attributes
    ----------
    body, found
        The body, and how many copies of it were placed.
    correlation, filled
        Of the next copy where it fits best; the part of its inside that is in free density. None
        and 0 where there is too little free density for it.
    """

    body: RigidBody
    found: int
    correlation: float | None
    filled: float


@final
class Assembler:
    """Places bodies in a map.

    Parameters
    ----------
    job
        Shows progress.
    target, mask
        The map, and a solvent mask on its grid.
    device
        For searches.
    local
        Whether bodies are only fitted from where they are.
    both_hands
        Whether the first body that fits decides between the map and its mirror.

    Attributes
    ----------
    image
        The map, or its mirror if that is what fits.
    mirrored
        Whether it is the mirror.
    placed, absent
        What was found, and what was not.
    first
        All placements of the first body that was found, in both hands, the best first.
    """

    def __init__(
        self,
        job: JobFolder,
        target: DockingMap,
        mask: DockingMap,
        device: torch.device,
        *,
        local: bool,
        both_hands: bool,
    ) -> None:
        self._job, self._device, self._local = job, device, local
        self._undecided = both_hands and not local
        self.image, self._mask, self.mirrored = target, mask, False
        self.smooth = SmoothMap.of(target, mask)
        self._remaining = target
        self.placed: list[Placed] = []
        self.absent: list[Absent] = []
        self.first: list[Placement] = []
        self._found: dict[RigidBody, list[Placement]] = {}
        self._searches = 0

    @property
    def level(self) -> float:
        """Density above which voxels are of the molecule, by the body that was placed first."""
        return self.smooth.find_level(self.placed[0])

    def place(self, bodies: Sequence[RigidBody]) -> None:
        """Find bodies: the heaviest first, and copies that nobody counted when all are there.

        Of these the best comes first, whatever its body, since bodies may be alike.
        """
        ordered = sorted(bodies, key=lambda body: -body.points.weights.sum())
        for body in ordered:
            self._place(body, body.copies or 1)
        there = {one.body for one in self.placed}
        uncounted = [body for body in ordered if body.copies is None and body in there]
        while uncounted:
            found = [one for body in uncounted if (one := self._find(body)) and self._is_there(one)]
            if found:
                self._keep(max(found, key=lambda one: one.placement.correlation))
            uncounted = [one.body for one in found]

    def _place(self, body: RigidBody, wanted: int) -> None:
        """Place copies of a body in what is left of the map."""
        for count in range(wanted):
            best = self._find(body)
            if best is None or not self._is_there(best):
                score, filled = (best.placement.correlation, best.filled) if best else (None, 0.0)
                self.absent.append(Absent(body, count, score, filled))
                return
            self._keep(best)

    def _find(self, body: RigidBody) -> Placed | None:
        """Find the best place that is left for a body; None where there is too little left."""
        if body in self._found:
            best = self._choose(body)
            if self._is_there(best):
                return best
        if self.placed and not self._local and not self._has_room(body):
            return None
        found = self._found[body] = self._search_once(body)
        return self._weigh(Placed(body, found[0], _find_next(found, found[0])))

    def finish(self) -> list[Agreement]:
        """Fit every body once more, to the map without the others; see how far it agrees.

        Copies of a body come after each other from here on.
        """
        order = list(dict.fromkeys(one.body for one in self.placed))
        self.placed.sort(key=lambda one: order.index(one.body))
        fitted, agreements = [], []
        scales = self.smooth.fit_scales(self.placed)
        for number, one in enumerate(self.placed):
            others = [
                (other, scale)
                for n, (other, scale) in enumerate(zip(self.placed, scales, strict=True))
                if n != number
            ]
            alone = self._subtract(others)
            fit = LocalFit(alone, one.body.points, one.body.plan.fine)
            placement = fit.refine(one.placement) if others else one.placement
            fitted.append(replace(one, placement=placement, scale=scales[number]))
            agreements.append(measure_agreement(fitted[-1].atoms, alone))
        self.placed = fitted
        return agreements

    def forget(self) -> None:
        """Remove what was kept for a run that is interrupted."""
        for number in range(1, self._searches + 1):
            self._job.delete_checkpoint(f"search{number}")

    def _search_once(self, body: RigidBody) -> list[Placement]:
        """Search what is left, or take what an interrupted run found there."""
        self._searches += 1
        name = f"search{self._searches}"
        kept = self._job.load_checkpoint(name)
        if kept is not None:
            return _unpack(kept[0])
        found = self._search(body)
        self._job.save_checkpoint(name, _pack(found))
        return found

    def _search(self, body: RigidBody) -> list[Placement]:
        plan = body.plan
        if self._local:
            start = Placement(np.eye(3), body.points.centre, 0.0)
            return fit_locally(self._remaining, body.points, plan, [start])
        self._job.log(
            f"{body.name}: {plan.rotations} rotations, {plan.step:.0f}° apart, at "
            f"{plan.coarse:.0f} Å; then fits at {plan.fine:.0f} Å"
        )
        with self._job.progress(plan.rotations, "rotations") as progress:
            found = search_placements(
                self._remaining, body.few, body.points, plan, self._device,
                mirror=self._undecided, advance=progress.advance,
            )  # fmt: skip
        # What is left may be of the mirror already.
        return found if self._undecided else [replace(p, mirrored=self.mirrored) for p in found]

    def _choose(self, body: RigidBody) -> Placed:
        """Choose among placements that were found before others were kept."""
        fit = LocalFit(self._remaining, body.points, body.plan.fine)
        same = [p for p in self._found[body] if p.mirrored == self.mirrored]
        best = max(same, key=lambda p: fit.correlate(p.rotation, p.centre))
        return self._weigh(Placed(body, fit.refine(best), _find_next(same, best)))

    def _weigh(self, one: Placed) -> Placed:
        """Measure which part of a body's inside is in density that is of no other body."""
        if not self.placed:
            return one
        return replace(one, filled=self.smooth.measure_filled(one, self.placed, self.level))

    def _is_there(self, one: Placed) -> bool:
        score, best = one.placement.correlation, 0.0
        for other in self.placed:
            best = max(best, other.placement.correlation)
            if other.body is one.body and (
                score < _LEAST_OF_COPY * other.placement.correlation
                or one.filled < _LEAST_OF_COPY * other.filled
            ):
                return False
        least = max(_LEAST_CORRELATION, _LEAST_OF_BEST * best)
        return score >= least and one.filled >= _LEAST_FILLED

    def _has_room(self, body: RigidBody) -> bool:
        anywhere = Placed(body, Placement(np.eye(3), self.image.centre, 0.0))
        return self.smooth.has_room(anywhere, self.placed, self.level)

    def _keep(self, one: Placed) -> None:
        if not self.placed:
            self.first = self._found[one.body]
            if one.placement.mirrored:
                self.image, self._mask = self.image.mirrored(), self._mask.mirrored()
                self.smooth = SmoothMap.of(self.image, self._mask)
                self._remaining, self.mirrored = self.image, True
            level = self.smooth.find_level(one)
            one = replace(one, filled=self.smooth.measure_filled(one, [], level))
        self._undecided = False
        self.placed.append(one)
        free = 1 - one.cover(self.image, one.body.plan.fine)
        density = (self._remaining.density * free).astype(np.float32)
        self._remaining = replace(self._remaining, density=density)

    def _subtract(self, others: list[tuple[Placed, float]]) -> DockingMap:
        """Give the map without the density of bodies."""
        density = self.image.density.copy()
        for one, scale in others:
            density -= scale * one.density(self.image, self.image.pixel_size)
        return replace(self.image, density=density)


def _find_next(found: list[Placement], best: Placement) -> float | None:
    """Find the correlation of what fits next best, in the same hand."""
    others = [p for p in found if p is not best and p.mirrored == best.mirrored]
    return max((p.correlation for p in others), default=None)


def _pack(found: list[Placement]) -> dict[str, FloatArray]:
    """Pack placements into arrays."""
    return {
        "rotations": np.stack([p.rotation for p in found]),
        "centres": np.stack([p.centre for p in found]),
        "correlations": np.array([p.correlation for p in found]),
        "mirrored": np.array([p.mirrored for p in found], np.float64),
    }


def _unpack(arrays: Mapping[str, Any]) -> list[Placement]:
    """Unpack `_pack`."""
    names = ("rotations", "centres", "correlations", "mirrored")
    rows = zip(*(np.asarray(arrays[name]) for name in names), strict=True)
    return [Placement(turn, place, float(r), bool(mirrored)) for turn, place, r, mirrored in rows]
