"""A stand-in for a prediction: the closed kinase, sure of what stays the same when it opens."""

import numpy as np
import pytest

from cryosway.protein import Prediction
from cryosway.protein.prediction._prediction import find_starts


@pytest.fixture(scope="session")
def stand_in(kinase):
    """PAE of 1 Å, and more by how far the distance of two residues differs in the open form."""
    tables = [table.select_chains(["A"]) for table in kinase]
    distances = []
    for table in tables:
        x = table.select_atoms(["CA"]).coordinates
        distances.append(np.linalg.norm(x[:, None] - x, axis=-1))
    pae = 1 + 2 * np.abs(distances[0] - distances[1])
    count = len(find_starts(tables[0]))
    plddt = np.linspace(72.5, 95, count)
    return Prediction("kinase", tables[0], plddt, pae, 0.91, source="stand-in")
