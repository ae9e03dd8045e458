"""Predicted structures with their confidences, and the restraints that follow from these."""

from cryosway.protein.prediction._prediction import Prediction
from cryosway.protein.prediction._read import list_models, read_prediction, require_models
from cryosway.protein.prediction._restraints import Restraints, cluster_by_error, find_restraints
from cryosway.protein.prediction._scores import SCORES, find_scores
from cryosway.protein.prediction._write import write_prediction, write_scores

__all__ = [
    "SCORES",
    "Prediction",
    "Restraints",
    "cluster_by_error",
    "find_restraints",
    "find_scores",
    "list_models",
    "read_prediction",
    "require_models",
    "write_prediction",
    "write_scores",
]
