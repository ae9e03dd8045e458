"""Checkpoints of a linear fit: what a killed run needs to go on to the same answer."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryosway.inference import Consensus, FitState, GaussianPosterior, NoiseModel, PoseErrors
from cryosway.volumes import BasisGrid


def consensus_checkpoint(consensus: Consensus) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pack a consensus into tensors and plain values."""
    tensors = {
        "mean": consensus.mean,
        "unmasked": consensus.unmasked,
        "half_0": consensus.half_maps[0],
        "half_1": consensus.half_maps[1],
        "mask": consensus.mask,
        "signal_power": consensus.signal_power,
        "noise": consensus.noise.power,
        **{f"fsc_{name}": curve for name, curve in consensus.curves.items()},
    }
    contiguous = {
        name: value.contiguous() if isinstance(value, Tensor) else value
        for name, value in tensors.items()
    }
    return contiguous, {"resolution": consensus.resolution}


def load_consensus(tensors: dict[str, Any], meta: dict[str, Any]) -> Consensus:
    """Unpack `consensus_checkpoint`."""

    def tensor(name: str) -> Tensor:
        return torch.as_tensor(tensors[name])

    return Consensus(
        mean=tensor("mean"),
        unmasked=tensor("unmasked"),
        half_maps=(tensor("half_0"), tensor("half_1")),
        mask=tensor("mask"),
        curves={k[4:]: np.asarray(v) for k, v in tensors.items() if k.startswith("fsc_")},
        resolution=float(meta["resolution"]),
        signal_power=tensor("signal_power"),
        noise=NoiseModel(np.asarray(tensors["noise"])),
    )


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
