"""How one domain moves against another: screw axis, angle and shift, over an ensemble."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway.protein._rigid_motions import RigidMotions, Screw, find_screw

FloatArray = NDArray[np.float64]

#: Between which percentiles of the ensemble a motion is told.
EXTREMES = (5.0, 95.0)
#: Degrees: a motion that turns by less has no axis worth telling, it slides.
LEAST_TURN = 1.0


@dataclass(frozen=True, eq=False)
class DomainMotion:
    """The motion of a domain as seen from another one, over M conformations.

    Attributes
    ----------
    screw
        From the lower to the higher extreme; of a motion that slides the axis is its direction.
    slides
        Whether it turns by less than a degree.
    closure
        From 0 to 1: sin² of the angle between the axis and the line that joins the domains'
        centres. 1 is a hinge that opens or closes, 0 a twist (Hayward and Berendsen, Proteins 30,
        144, 1998).
    angles
        Shape (M,), degrees: turn about the axis, from the reference's orientation.
    shifts
        Shape (M,), Å: how far the domain's centre lies along the axis, from the reference's.
    distances
        Shape (M,), Å: between the centres of the two domains.
    low, high
        The mean motions at the extremes, from the reference; one each.
    """

    screw: Screw
    slides: bool
    closure: float
    angles: FloatArray
    shifts: FloatArray
    distances: FloatArray
    low: RigidMotions
    high: RigidMotions


def analyse_motion(fixed: FloatArray, moving: FloatArray, motions: RigidMotions) -> DomainMotion:
    """Analyse the motion of a domain as seen from a fixed one.

    The extremes are the 5th and the 95th percentile along the principal direction of the domain's
    positions, ordered so that the domain's centre goes away from the fixed one's.

    Parameters
    ----------
    fixed, moving
        Shapes (n, 3), Å: residues of the two domains in the reference.
    motions
        M motions from the reference, of the moving domain in the frame of the fixed one.
    """
    centre = moving.mean(0)
    low, high = _find_extremes(fixed.mean(0), moving, motions)
    change = high.after(low.inverse())
    between = 0.5 * (low.apply(centre[None]) + high.apply(centre[None]))[0, 0]
    screw = find_screw(change.rotations[0], change.translations[0], between)
    slides = bool(np.rad2deg(screw.angle) < LEAST_TURN)
    moved = motions.apply(centre[None])[:, 0]
    if slides:
        line = (high.apply(centre[None]) - low.apply(centre[None]))[0, 0]
        screw = find_screw(np.eye(3), line, between)
    joining = between - fixed.mean(0)
    cosine = screw.axis @ joining / max(float(np.linalg.norm(joining)), 1e-9)
    return DomainMotion(
        screw=screw,
        slides=slides,
        closure=float(1 - cosine**2),
        angles=np.rad2deg(motions.twists(screw.axis)),
        shifts=(moved - centre) @ screw.axis,
        distances=np.linalg.norm(moved - fixed.mean(0), axis=1),
        low=low,
        high=high,
    )


def _find_extremes(
    anchor: FloatArray, moving: FloatArray, motions: RigidMotions
) -> tuple[RigidMotions, RigidMotions]:
    """Find the mean motions around both percentiles along the positions' principal direction."""
    centre = moving.mean(0)
    # The positions of four points at the radius of gyration stand for those of all residues.
    radius = np.sqrt(((moving - centre) ** 2).sum(-1).mean())
    frame = centre + radius * np.concatenate([np.zeros((1, 3)), np.eye(3)])
    positions = motions.apply(frame).reshape(len(motions), -1)
    away = positions - positions.mean(0)
    _, _, directions = np.linalg.svd(away, full_matrices=False)
    score = away @ directions[0]
    distance = np.linalg.norm(motions.apply(centre[None])[:, 0] - anchor, axis=1)
    if score @ (distance - distance.mean()) < 0:
        score = -score
    few = max(1, len(motions) // 20)
    low, high = (np.abs(score - end).argsort()[:few] for end in np.percentile(score, EXTREMES))
    return motions[low].mean(centre), motions[high].mean(centre)
