"""What an audit found, in plain sentences, and as a table of the report."""

from typing import Any

_MADE_UP = 0.2  # Å: more motion than this where there is none to be found is too much
_RETURNED = 0.5
_LEANS = 0.5  # of its displacement, by which the rest may depend on a region that is missing


def describe_audit(found: dict[str, Any]) -> list[str]:
    """Say what `audit` found.

    Parameters
    ----------
    found
        The values of audit.json.
    """
    return [sum_up(found), *_describe_controls(found), *_describe_regions(found)]


def sum_up(found: dict[str, Any]) -> str:
    """Say in one sentence whether the motion is in the data."""
    verdicts = [region["verdict"] for region in found["regions"] if region["verdict"] != "still"]
    count, made_up = len(verdicts), found["still"]["bent_angstrom"]
    if not count:
        text = "No region moves, so that there is no motion to be borne out"
    elif set(verdicts) == {"supported"}:
        which = "the region that moves" if count == 1 else f"all {count} regions that move"
        text = f"The motion of {which} is in the images"
    else:
        kinds = {kind: verdicts.count(kind) for kind in ("supported", "not supported")}
        text = (
            f"Of {count} regions that move, the images support {kinds['supported']}, do not "
            f"support {kinds['not supported']}, and cannot tell of {count - sum(kinds.values())}"
        )
    if made_up < _MADE_UP:
        return f"{text}; where nothing moves, the model makes up next to nothing."
    return f"{text}; but where nothing moves, the model is bent by {made_up:.2f} Å all the same."


def _describe_controls(found: dict[str, Any]) -> list[str]:
    job, noise, shuffled = found["job"], found["noise"], found["shuffled"]
    size = found["control_particles"]
    on_noise = (
        f"On {size} images of pure noise, with the poses, CTF and noise spectrum of the real "
        f"ones, the model is bent by {noise['bent_angstrom']:.2f} Å on average (superposed on the "
        "reference)."
    )
    on_shuffled = (
        f"On {size} real images that were shuffled against their rotations it is bent by "
        f"{shuffled['bent_angstrom']:.2f} Å, and its conformations differ by "
        f"{shuffled['motion_angstrom']:.2f} Å rms: a model follows whatever density its poses "
        "make, right or wrong, so that motion alone does not say that they are right."
    )
    on_still = _describe_still(found["still"], job, size)
    return [on_noise, on_still, on_shuffled, _describe_removed(found), _describe_turned(found)]


def _describe_still(still: dict[str, float], job: dict[str, float], size: int) -> str:
    verdict = (
        "next to nothing is made up"
        if still["bent_angstrom"] < _MADE_UP
        else "that much of any motion may be made up"
    )
    return (
        f"On {size} images of the reference, standing still in that noise, it is bent by "
        f"{still['bent_angstrom']:.2f} Å ({still['displacement_angstrom']:.2f} Å as posed), and "
        f"its conformations differ by {still['motion_angstrom']:.2f} Å rms; on the real images by "
        f"{job['bent_angstrom']:.2f} Å, and {job['motion_angstrom']:.2f} Å: {verdict}."
    )


def _describe_removed(found: dict[str, Any]) -> str:
    removed = found["removed"]
    apart, moved = removed["apart_angstrom"], removed["displacement_with_it_angstrom"]
    outcome = (
        "the rest hardly leans on it"
        if apart < _LEANS * moved
        else "it is bent to fill the gap, as it would be where your model lacks what particles have"
    )
    return (
        f"With {found['wrong_region']} missing from the reference, the rest is placed "
        f"{apart:.2f} Å from where the whole model puts it, and is displaced by "
        f"{removed['displacement_angstrom']:.2f} Å rather than {moved:.2f} Å: {outcome}."
    )


def _describe_turned(found: dict[str, Any]) -> str:
    turned = found["turned"]
    outcome = (
        "the data decide where it lies, not the reference"
        if turned["returned"] > _RETURNED
        else "where it lies is the reference's choice, not the data's"
    )
    return (
        f"With {found['wrong_region']} turned by {found['turn_degrees']:g}° in the reference "
        f"({turned['distance_before_angstrom']:.1f} Å from its mean place), the fit brings it to "
        f"{turned['distance_after_angstrom']:.1f} Å and {turned['angle_after_degrees']:.1f}°: "
        f"{outcome}. The map without prior correlates with the density there by "
        f"{turned['correlation_before']:.2f} as it was turned, "
        f"{turned['correlation_after']:.2f} as fitted, and {turned['correlation_of_job']:.2f} in "
        "the job's own fit."
    )


def _describe_regions(found: dict[str, Any]) -> list[str]:
    who = (
        "by the model of the half-set that the image is not of"
        if found["independent"]
        else "by the job's own model, which was trained on them, since there are no half-set models"
    )
    first = (
        f"Is the motion of each region in the images? {found['judged_particles']} of them were "
        f"judged {who}, on Fourier points from which their latents were not inferred. An amplitude "
        "of 1 says that all of the region's motion is there, 0 that none is, more than 1 that "
        "there is more."
    )
    return [first, *(_describe_region(region) for region in found["regions"])]


def _describe_region(region: dict[str, Any]) -> str:
    name = region["region"][0].upper() + region["region"][1:]
    if region["verdict"] == "still":
        return f"{name} is still ({region['motion_angstrom']:.2f} Å rms)."
    return (
        f"{name} moves by {region['motion_angstrom']:.2f} Å rms: {region['verdict']}, amplitude "
        f"{_show_amplitude(region)}. Differences of maps without "
        "prior between the ends of the main motion correlate by "
        f"{region['correlation_of_halves']:.2f} between the half-sets (by chance "
        f"±{region['null_of_halves']:.2f}), and by {region['correlation_with_model']:.2f} with the "
        f"model's (by chance ±{region['null_with_model']:.2f})."
    )


def _show_amplitude(region: dict[str, Any]) -> str:
    return f"{region['amplitude']:.2f} ± {max(region['amplitude_error'], 0.01):.2f}"


def tabulate_regions(regions: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Give header and rows of the report's table."""
    header = ["region", "motion (Å)", "amplitude", "halves alike", "like the model", "verdict"]
    rows = [
        [
            region["region"],
            f"{region['motion_angstrom']:.2f}",
            _show_amplitude(region),
            f"{region['correlation_of_halves']:.2f} (chance {region['null_of_halves']:.2f})",
            f"{region['correlation_with_model']:.2f} (chance {region['null_with_model']:.2f})",
            region["verdict"],
        ]
        for region in regions
    ]
    return header, rows
