"""The atomic model that a user gives: its first model, or all models of its file."""

import warnings
from collections.abc import Collection
from pathlib import Path

from cryosway._errors import CryoswayWarning
from cryosway.methods._options import Models
from cryosway.protein import AtomTable, read_models, select_atoms


def read_given(
    path: Path,
    models: Models,
    *,
    chains: Collection[str] | None = None,
    waters: bool = False,
) -> AtomTable:
    """Read a model file, and warn where it holds models that are left out.

    Parameters
    ----------
    path, models, chains, waters
        As in `read_structure`.
    """
    structure = read_models(path)
    if models == "first" and len(structure) > 1:
        message = (
            f"{path} holds {len(structure)} models, of which the first is used: give --models all "
            "for an assembly whose copies are models of one file, or a file with the one meant"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=2)
    return select_atoms(structure, path, models, chains=chains, waters=waters)
