"""A network of which each process holds a piece (FSDP), for sizes that fit into no GPU whole."""

from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cryosway.protein.language._masked_batch import MaskedBatch, guess_losses
from cryosway.protein.language._network import RUN_LAYER, run_layer

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM

_RUN_NETWORK = "guess_packed"


def shard_network(network: "EsmForMaskedLM", processes: int, device: torch.device) -> None:
    """Cut the weights into a piece per process; a layer is whole only while it is computed.

    Parameters
    ----------
    network : EsmForMaskedLM
        On its device; changed in place.
    processes : int
        Of the group.
    device : torch.device
        Of this process.
    """
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh(device.type, (processes,))
    whole: Any = network
    for layer in whole.esm.encoder.layer:
        _cut(layer, RUN_LAYER, run_layer, mesh)
    _cut(whole, _RUN_NETWORK, guess_losses, mesh)


def guess_in_pieces(
    network: "EsmForMaskedLM", batch: MaskedBatch, *, recompute: bool = False
) -> Tensor:
    """Compute `guess_losses`, whether the network is whole or in pieces."""
    run = getattr(network, _RUN_NETWORK, None)
    if run is None:
        return guess_losses(network, batch, recompute=recompute)
    losses: Tensor = run(batch, recompute=recompute)
    return losses


def _cut(module: Any, name: str, function: Any, mesh: Any) -> None:
    """Cut a module, and have its weights gathered when the method of that name is called."""
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    setattr(module, name, MethodType(function, module))
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, name)
