"""The sentences for wrong input that do not depend on the kind of file."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.particles._mrc import MrcLayout

DEFAULTS = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
_UNITS = {"voltage": "300 kV", "cs": "2.7 mm", "amplitude_contrast": "0.1"}
_NAMES = {
    "voltage": "voltage",
    "cs": "spherical aberration",
    "amplitude_contrast": "amplitude contrast",
}


def check_consent(missing: Mapping[str, str], path: Path, *, accept_defaults: bool) -> None:
    """Refuse to guess the microscope unless the user has agreed to the defaults.

    Parameters
    ----------
    missing : mapping
        ``voltage``, ``cs`` or ``amplitude_contrast`` → the label that the file lacks.
    path : Path
        The file, for the message.
    accept_defaults : bool
        Whether the user agreed.
    """
    if not missing or accept_defaults:
        return
    lacking = ", ".join(f"{_NAMES[name]} ({label})" for name, label in missing.items())
    defaults = ", ".join(_UNITS[name] for name in missing)
    message = (
        f"{path.name} does not give {lacking}; add it, or pass accept_defaults=True "
        f"(--accept-defaults) to use {defaults}"
    )
    raise CryoswayError(message)


def check_finite(columns: Mapping[str, npt.NDArray[np.float64]], path: Path, remedy: str) -> None:
    """Refuse NaN and infinite values, naming file, row and column."""
    for label, values in columns.items():
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            more = f" (and {int(bad.sum()) - 1} more rows)" if bad.sum() > 1 else ""
            message = f"{path.name} row {row + 1}{more}: {label} is {values[row]}; {remedy}"
            raise CryoswayError(message)


def check_square(layouts: Sequence[MrcLayout]) -> None:
    """Refuse stacks whose images are not square."""
    for layout in layouts:
        if layout.shape[1] != layout.shape[2]:
            height, width = layout.shape[1:]
            message = (
                f"{layout.path} holds images of {width} × {height} px; only square ones can be used"
            )
            raise CryoswayError(message)


def check_places(
    path: Path,
    layouts: Sequence[MrcLayout],
    stack_of: npt.NDArray[np.int32],
    index: npt.NDArray[np.int64],
) -> None:
    """Refuse particles that their stack does not hold; warn of stacks cut short elsewhere."""
    stored = np.array([layout.stored for layout in layouts])
    beyond = (index >= stored[stack_of]) | (index < 0)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        more = f" (and {int(beyond.sum()) - 1} more rows)" if beyond.sum() > 1 else ""
        problem = _place_problem(layouts[stack_of[row]], int(index[row]))
        raise CryoswayError(f"{path.name} row {row + 1}{more}: {problem}")
    for layout in layouts:
        if layout.stored < layout.shape[0]:
            message = (
                f"{layout.path} is cut short: {layout.stored} of {layout.shape[0]} images; "
                f"none of the missing ones is used by {path.name}"
            )
            warnings.warn(message, CryoswayWarning, stacklevel=2)


def _place_problem(layout: MrcLayout, index: int) -> str:
    where = f"image {index + 1} of {layout.path}"
    if index < 0:
        return f"{where} cannot be, images are counted from 1; correct the name of the image"
    if index >= layout.shape[0]:
        return f"{where} does not exist, the stack has {layout.shape[0]}; is it the right stack?"
    return (
        f"{where} is missing because the stack is cut short ({layout.stored} of "
        f"{layout.shape[0]} images); copy the stack again"
    )


def check_boxes(
    path: Path,
    layouts: Sequence[MrcLayout],
    stack_of: npt.NDArray[np.int32],
    index: npt.NDArray[np.int64],
    declared: npt.NDArray[Any],
) -> None:
    """Refuse images whose size is not the one that the metadata declare (NaN: not declared)."""
    boxes = np.array([layout.shape[2] for layout in layouts])[stack_of]
    wrong = np.isfinite(declared) & (boxes != declared)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        more = f" (and {int(wrong.sum()) - 1} more rows)" if wrong.sum() > 1 else ""
        name = f"{index[row] + 1}@{layouts[stack_of[row]].path.name}"
        message = (
            f"{path.name} row {row + 1}{more}: image {name} is {boxes[row]} px but the metadata "
            f"say {declared[row]:.0f} px; re-extract, or correct the image size in {path.name}"
        )
        raise CryoswayError(message)


def warn_aberrations(path: Path, names: Sequence[str]) -> None:
    """Name the aberrations that a file has and that are not applied."""
    if names:
        message = (
            f"{path.name} has aberrations that cryosway does not apply yet: {', '.join(names)}; "
            "they blur the finest details"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=2)


def warn_no_ctf(path: Path, label: str) -> None:
    """Say that images are taken as free of CTF."""
    message = (
        f"{path.name} has no defocus ({label}): its images are taken to have no CTF; "
        "pass ctf= (--ctf) if they have"
    )
    warnings.warn(message, CryoswayWarning, stacklevel=2)
