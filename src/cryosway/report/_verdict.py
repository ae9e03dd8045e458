"""The answer in plain sentences, before any picture."""

from pathlib import Path

import numpy as np

from cryosway.jobs import open_job, read_verdict
from cryosway.report._contents import Contents, MapFile
from cryosway.report._spectrum import format_p_value
from cryosway.report._states import describe_states

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MOTION_SENTENCES = 4


def write_verdict(contents: Contents, validation: Path | None = None) -> list[str]:
    """Say what was found: heterogeneity, its directions, the resolution, the states.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    validation : Path, optional
        Folder of its validation, whose verdict goes before the job's own; by default the latest
        that lies beside it.

    Returns
    -------
    list of str
        Sentences, the most important first; plain text.
    """
    sentences = [
        *_say_status(contents),
        *_say_heterogeneity(contents, validation),
        *_say_structural(contents),
        *_say_docking(contents),
        *_say_motions(contents),
        *_say_resolution(contents),
        *(
            describe_states(contents.main.states, contents.maps("state"))
            or _say_clusters(contents.maps("cluster"))
        ),
        *_say_failed_checks(contents),
        *(str(line) for line in contents.main.supplement.get("verdict", [])),
    ]
    return sentences or ["This folder holds no result that could be summed up."]


def spell_count(number: int, noun: str, plural: str | None = None) -> str:
    """Write a count as in running text: ``one direction``, ``12 directions``."""
    word = NUMBERS[number] if number < len(NUMBERS) else f"{number:,}"
    return f"{word} {noun if number == 1 else plural or noun + 's'}"


def format_particles(count: float) -> str:
    """Write a number of particles with the digits that mean something."""
    if count >= 1000:
        count = float(f"{count:.3g}")
    return f"{count:,.0f}"


def _say_status(contents: Contents) -> list[str]:
    status = contents.info.get("status")
    under_way = status == "running" and contents.main.info.get("status") == "finished"
    if status in (None, "finished") or under_way:
        return []
    return [f"This job is not finished (its status is {status}); what follows is incomplete."]


def _say_heterogeneity(contents: Contents, validation: Path | None) -> list[str]:
    found = read_verdict(open_job(contents.root), validation)
    by = f", by the validation in {found.validation.name}" if found.validation else ""
    said = [_say_direction(number, one) for number, one in enumerate(found.directions, start=1)]
    if found.homogeneous:
        tested = [one["p_value"] for one in found.directions if one.get("p_value") is not None]
        closest = f" (the closest has {format_p_value(min(tested))})" if tested else ""
        text = "No heterogeneity was found: no direction of change stands out from what noise alone"
        return [f"{text} would give{closest}{by}."]
    if found.word == "undecided":
        text = "It is undecided whether the particles are heterogeneous: the first direction is far"
        few = "above noise, but the homogeneous copies are too few to tell"
        return [f"{text} {few}{by}; give cryosway validate more --nulls.", *said[:1]]
    if not found.word:
        return []
    first = (
        f"The particles are heterogeneous: {spell_count(found.real, 'direction')} of structural "
        f"change {'stands' if found.real == 1 else 'stand'} out from noise{by}."
    )
    return [first, *said[: min(found.real, 3)]]


def _say_direction(number: int, direction: dict[str, float | None]) -> str:
    variance, noise = direction.get("variance_explained"), direction.get("noise_alone")
    p_value = direction.get("p_value")
    text = f"Direction {number}"
    if variance is not None:
        text += f" holds {_format_share(variance)} of the map's power"
        text += "" if noise is None else f", where noise alone would give {_format_share(noise)}"
    else:
        text += " is significant"
    return text + (f" ({format_p_value(p_value)})." if p_value is not None else ".")


def _format_share(share: float) -> str:
    """Write a share in per cent: ``0.33 %``, ``31 %``, ``1,200 %``."""
    return f"{float(f'{100 * share:.2g}'):,g} %"


def _say_structural(contents: Contents) -> list[str]:
    """Say what a model's particles lack, and whether images that it has not seen bear it out."""
    said = []
    for entry in ("composition", "held_out"):
        sentence = str((contents.main.info.get(entry) or {}).get("sentence", ""))
        said += [f"{sentence[0].upper()}{sentence[1:]}."] if sentence else []
    if {"halves", "audit"} & set(contents.main.info):
        said += [str(line) for line in contents.main.supplement.get("sentences", [])[:1]]
    elif contents.audit is not None:
        said += [str(line) for line in contents.audit.supplement.get("sentences", [])[:1]]
    return said


def _say_docking(contents: Contents) -> list[str]:
    """Say how much of the map docked models explain, and what is not in it."""
    docked = [stage.info["docking"] for stage in contents.stages if "docking" in stage.info]
    lines = []
    for found in docked:
        if "explained" in found:
            count, share = spell_count(found["placed"], "docked model"), 100 * found["explained"]
            verb = "explains" if found["placed"] == 1 else "explain"
            text = f"{count} {verb} {share:.0f} % of the density within the solvent mask."
            lines.append(text[0].upper() + text[1:])
        if missing := found.get("absent"):
            lines.append(
                f"Attention: {spell_count(missing, 'model')} could not be found in the map."
            )
    return lines


def _say_motions(contents: Contents) -> list[str]:
    if not contents.main.motions:
        return []
    return [str(line) for line in contents.main.supplement.get("sentences", [])[:_MOTION_SENTENCES]]


def _say_resolution(contents: Contents) -> list[str]:
    resolution = consensus_resolution(contents)
    if resolution is None:
        return []
    text = f"The consensus map reaches {resolution:.1f} Å"
    return [f"{text} (Fourier shell correlation of 0.143 between independent half-maps)."]


def consensus_resolution(contents: Contents) -> float | None:
    """Find the resolution of the consensus map, Å, from its entry or from its FSC curve."""
    for item in contents.maps("mean"):
        if item.resolution is not None:
            return item.resolution
    curves = [one for one in contents.curves("fsc") or [] if one.get("resolution_angstrom")]
    curves.sort(key=lambda one: "corrected" not in str(one.get("label", "")))
    return float(curves[0]["resolution_angstrom"]) if curves else None


def _say_clusters(maps: list[MapFile]) -> list[str]:
    populations = [item.entry["population"] for item in maps if "population" in item.entry]
    if len(populations) < 2:
        return []
    low, high = min(populations), max(populations)
    text = (
        f"For viewing, the particles were divided into {spell_count(len(populations), 'cluster')} "
        f"of {format_particles(low)} to {format_particles(high)} particles"
    )
    resolutions = [item.resolution for item in maps if item.resolution is not None]
    if not resolutions:
        return [text + "."]
    best, worst = np.min(resolutions), np.max(resolutions)
    span = f"{best:.1f} Å" if f"{best:.1f}" == f"{worst:.1f}" else f"{best:.1f} to {worst:.1f} Å"
    return [f"{text}, whose maps reach {span}."]


def _say_failed_checks(contents: Contents) -> list[str]:
    failed = [
        str(check.get("sentence") or check.get("name"))
        for stage in contents.stages
        for check in stage.checks
        if is_bad(check)
    ]
    return [f"Attention: {sentence}" for sentence in failed]


def is_bad(check: dict[str, object]) -> bool:
    """Tell whether a check of ``inspect`` found something wrong."""
    return str(check.get("verdict", "")).lower() in {"bad", "fail", "failed", "wrong", "error"}
