"""Checkpoints of a linear fit: what a killed run needs to go on to the same answer."""

from typing import Any

import numpy as np
import torch

from cryosway.inference import FitState, GaussianPosterior, PoseErrors
from cryosway.volumes import BasisGrid


def state_checkpoint(state: FitState) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pack where an EM fit stands; of the posterior only the contrast is needed later."""
    tensors: dict[str, Any] = {
        "volumes": state.basis.volumes.contiguous(),
        "variances": state.basis.variances,
    }
    if state.posterior is not None:
        tensors["contrast"] = state.posterior.contrast
    if state.poses is not None:
        tensors |= {"turns": state.poses.turns, "moves": state.poses.moves}
    meta = {
        "contrast_sd": state.contrast_sd,
        "stage": state.stage,
        "iteration": state.iteration,
        "history": state.history,
    }
    if state.poses is not None:
        meta |= {"turn_sd": state.poses.turn_sd, "move_sd": state.poses.move_sd}
    return tensors, meta


def load_state(tensors: dict[str, Any], meta: dict[str, Any]) -> FitState:
    """Unpack `state_checkpoint`."""
    basis = BasisGrid(torch.as_tensor(tensors["volumes"]), np.asarray(tensors["variances"]))
    contrast = np.asarray(tensors["contrast"])
    posterior = GaussianPosterior(
        np.zeros((len(contrast), 0)),
        np.zeros((len(contrast), 0, 0)),
        contrast,
        np.zeros_like(contrast),
        np.zeros_like(contrast),
    )
    poses = None
    if "turns" in tensors:
        poses = PoseErrors(
            float(meta["turn_sd"]),
            float(meta["move_sd"]),
            np.asarray(tensors["turns"]),
            np.asarray(tensors["moves"]),
        )
    return FitState(
        basis,
        float(meta["contrast_sd"]),
        int(meta["stage"]),
        int(meta["iteration"]),
        posterior,
        list(meta["history"]),
        poses,
    )
