"""bf16 where the device has arithmetic for it."""

from contextlib import AbstractContextManager, nullcontext

import torch

from cryosway._errors import CryoswayError


def has_bf16(device: torch.device) -> bool:
    """Tell whether the device multiplies bf16 matrices in hardware.

    Parameters
    ----------
    device : torch.device
        CPU or CUDA.

    Returns
    -------
    bool
        False also where it cannot be told.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return any(
            getattr(torch.cpu, name, bool)()
            for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
    return False


def choose_precision(wanted: str, device: torch.device) -> str:
    """Choose the precision of matrix products.

    Parameters
    ----------
    wanted : {"auto", "float32", "bf16"}
        "auto" takes bf16 where the device has it.
    device : torch.device
        Where to compute.

    Returns
    -------
    {"float32", "bf16"}
        The choice.

    Raises
    ------
    CryoswayError
        When there is no such precision.

    Examples
    --------
    >>> choose_precision("float32", torch.device("cpu"))
    'float32'
    """
    if wanted == "auto":
        return "bf16" if has_bf16(device) else "float32"
    if wanted not in ("float32", "bf16"):
        message = f"there is no precision called {wanted!r}; use auto, float32 or bf16"
        raise CryoswayError(message)
    return wanted


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute matrix products in ``precision`` inside the block; parameters stay as they are."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
