"""Parameters of which each process holds a piece (FSDP), whole in checkpoints."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Tell whether processes hold a piece of the tensor each."""
    module = sys.modules.get("torch.distributed.tensor")  # slow to import, and without it none is
    return module is not None and isinstance(tensor, module.DTensor)


def gather(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give whole tensors, pieced together on the CPU; all processes have to ask.

    Parameters
    ----------
    tensors : Mapping[str, Tensor]
        Whole ones are given as they are.

    Returns
    -------
    dict[str, Tensor]
        One tensor after the other is whole on the device, so that they need not fit together.
    """
    return {
        name: tensor.full_tensor().cpu() if is_sharded(tensor) else tensor
        for name, tensor in tensors.items()
    }


def cut_like(whole: Tensor, like: Tensor) -> Tensor:
    """Cut a tensor, the same in all processes, as another one is cut."""
    if not is_sharded(like) or whole.shape != like.shape:
        return whole
    from torch.distributed.tensor import distribute_tensor

    moved = whole.to(like.device, like.dtype)
    return distribute_tensor(moved, like.device_mesh, like.placements)


def load_whole(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load whole tensors, the same in all processes, into a module that may be cut.

    Parameters
    ----------
    module : Module
        Of which each process may hold a piece.
    tensors : Mapping[str, Tensor]
        What its ``state_dict`` would be if it were whole.
    """
    if not any(is_sharded(parameter) for parameter in module.parameters()):
        module.load_state_dict(tensors)
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    options = StateDictOptions(full_state_dict=True)
    with torch.no_grad():
        set_model_state_dict(module, dict(tensors), options=options)
