"""What moves, as numbers for ``motions.json`` and in sentences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway.methods._motions.motion_analysis import Motions
from cryosway.methods._motions.motion_measures import Measure
from cryosway.methods._structural.bead_ensemble import BeadEnsemble
from cryosway.methods._structural.residues import judge_motion
from cryosway.protein import EXTREMES, STILL, DomainMotion, describe_residues

FloatArray = npt.NDArray[np.float64]

SOURCE = (
    "Domains: cut where distances between residues fluctuate (as in SPECTRUS: L. Ponzoni, "
    "G. Polles, V. Carnevale and C. Micheletti, Structure 23, 1516, 2015), then every residue "
    "with the rigid motion that it follows best (as in T. Nguyen and M. Habeck, Bioinformatics "
    "32, i710, 2016). Axes and closure: S. Hayward and H. J. C. Berendsen, Proteins 30, 144, 1998."
)
_SUPPORT = {
    "supported": "Half-set models of the job say that its motion is in the data.",
    "not supported": "Half-set models of the job say that its motion is NOT in the data: what "
    "follows describes what was learnt from noise.",
    "cannot tell": "Half-set models of the job cannot tell its motion from noise: what follows may "
    "describe noise.",
}
_PERCENTILES = (5, 25, 50, 75, 95)


def summarise(
    found: Motions, ensemble: BeadEnsemble, measures: Sequence[Measure]
) -> dict[str, Any]:
    """Give the content of motions.json; its fields are in docs/format.md."""
    coarse, domains = ensemble.coarse, found.domains
    largest = int(found.relative.argmax())
    return {
        "source": SOURCE,
        "residues": len(coarse),
        "motion_angstrom": domains.motion,
        "explained": domains.explained,
        "left_angstrom": domains.residuals,
        "displacement_angstrom": {
            "median": float(np.median(found.relative)),
            "largest": float(found.relative.max()),
            "where": describe_residues(coarse, np.array([largest])),
        },
        "domains": [
            {
                "domain": number,
                "count": len(domains.members(number)),
                "residues": describe_residues(coarse, domains.members(number)),
            }
            for number in range(1, domains.count + 1)
        ],
        "motions": [
            {
                "domain": number,
                "fixed": 1,
                "hinges": _find_hinges(found, ensemble, number),
                **_summarise_move(move),
            }
            for number, move in found.moves.items()
        ],
        "measures": [
            {
                "column": measure.name,
                "kind": measure.kind,
                "selections": measure.selections,
                "unit": measure.unit,
                **_spread(found.measures[measure.name]),
            }
            for measure in measures
        ],
    }


def _summarise_move(move: DomainMotion) -> dict[str, Any]:
    return {
        "axis": move.screw.axis,
        "point": move.screw.point,
        "slides": move.slides,
        "angle_degrees": 0.0 if move.slides else float(np.rad2deg(move.screw.angle)),
        "translation_angstrom": move.screw.shift,
        "closure": move.closure,
        "between_percentiles": EXTREMES,
        "angle": _spread(move.angles),
        "shift": _spread(move.shifts),
        "distance": _spread(move.distances),
    }


def _spread(values: FloatArray) -> dict[str, Any]:
    return {
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "percentiles": dict(
            zip(map(str, _PERCENTILES), np.percentile(values, _PERCENTILES), strict=True)
        ),
    }


def _find_hinges(found: Motions, ensemble: BeadEnsemble, number: int) -> list[list[str]]:
    """Name the bonded residues between which the chain passes to the domain from another one."""
    bonds = ensemble.coarse.bonds
    labels = found.domains.labels[bonds]
    crossing = (labels == number).any(axis=1) & (labels[:, 0] != labels[:, 1])
    return [
        [describe_residues(ensemble.coarse, np.array([bead])) for bead in pair]
        for pair in bonds[crossing]
    ]


def write_sentences(
    numbers: dict[str, Any], uncertainty: FloatArray | None, relative: FloatArray
) -> list[str]:
    """Say in plain sentences what moves.

    Parameters
    ----------
    numbers
        From `summarise`.
    uncertainty
        Shape (N,), Å, where known.
    relative
        Shape (N,), Å: displacement of every residue.
    """
    domains, moved = numbers["domains"], numbers["displacement_angstrom"]
    lines = [_say_domains(numbers)]
    lines += [_say_move(move, domains) for move in numbers["motions"]]
    lines.append(
        f"Half of the residues move by more than {moved['median']:.1f} Å (rms over the particles); "
        f"most moves {moved['where']}, by {moved['largest']:.1f} Å."
    )
    if uncertainty is not None:
        sure = int((relative > 2 * uncertainty).sum())
        lines.append(
            f"{sure} of {len(relative)} residues move by more than twice their uncertainty."
        )
    for measure in numbers["measures"]:
        low, middle, high = (measure["percentiles"][name] for name in ("5", "50", "95"))
        unit = measure["unit"]
        gap = "" if unit == "°" else " "
        lines.append(
            f"{measure['column']} ({measure['kind']} {' – '.join(measure['selections'])}): median "
            f"{middle:.1f}{gap}{unit}, from {low:.1f} to {high:.1f}{gap}{unit} "
            "(5th to 95th percentile)."
        )
    return lines


def say_support(info: dict[str, Any]) -> list[str]:
    """Say whether half-set models support the motion, where the job (``job.json``) has them."""
    return [_SUPPORT[judge_motion(info["halves"])]] if "halves" in info else []


def _say_domains(numbers: dict[str, Any]) -> str:
    motion, domains = numbers["motion_angstrom"], numbers["domains"]
    if domains:
        return (
            f"{len(domains)} rigid domains explain {100 * numbers['explained']:.0f} % of the "
            f"mean square motion within the molecule (rms {motion:.1f} Å). Domain 1, the largest "
            f"({domains[0]['residues']}), is held still."
        )
    if motion < STILL:
        return f"Nothing moves: within the molecule residues move by {motion:.2f} Å (rms)."
    return (
        f"Residues move by {motion:.1f} Å (rms) within the molecule, but not as rigid domains: "
        "it bends as a whole, or in small parts."
    )


def _say_move(move: dict[str, Any], domains: list[dict[str, Any]]) -> str:
    residues = domains[move["domain"] - 1]["residues"]
    start = f"Domain {move['domain']} ({residues}) "
    low, high = (move["distance"]["percentiles"][name] for name in ("5", "95"))
    apart = f"its centre is {low:.1f} to {high:.1f} Å from that of domain 1"
    if move["slides"]:
        return f"{start}slides by {abs(move['translation_angstrom']):.1f} Å; {apart}."
    kind = "closes and opens" if move["closure"] > 0.5 else "twists"
    return (
        f"{start}turns by {move['angle_degrees']:.0f}° and moves by "
        f"{abs(move['translation_angstrom']):.1f} Å along the axis, between the 5th and the 95th "
        f"percentile of the particles: it {kind} (closure {100 * move['closure']:.0f} %); {apart}."
    )
