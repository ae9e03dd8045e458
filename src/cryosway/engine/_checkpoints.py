"""Named tensors in safetensors files, written atomically; what was saved is what is loaded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosway._errors import CryoswayError
from cryosway.engine._atomic import write_atomically
from cryosway.engine._files import to_plain

if TYPE_CHECKING:
    import numpy as np
    import torch

Tensors = Mapping[str, Any]  # NumPy arrays and PyTorch tensors by name


def save_tensors(path: str | Path, tensors: Tensors, meta: Mapping[str, Any]) -> None:
    """Save NumPy arrays and PyTorch tensors in one safetensors file, atomically.

    Complex numbers are stored as a last axis of two, so that any safetensors reader opens them.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    tensors : Mapping[str, ndarray or Tensor]
        By name, of any shape.
    meta : Mapping[str, Any]
        Anything that JSON can hold; kept in the header.
    """
    from safetensors.torch import save_file

    stored: dict[str, torch.Tensor] = {}
    kinds: dict[str, str] = {}
    for name, tensor in tensors.items():
        stored[name], kinds[name] = _encode(tensor)
    header = {"meta": json.dumps(to_plain(dict(meta))), "kinds": json.dumps(kinds)}
    with write_atomically(path) as temporary:
        save_file(stored, temporary, metadata=header)


def load_tensors(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load what `save_tensors` has saved.

    Parameters
    ----------
    path : str or Path
        A safetensors file.

    Returns
    -------
    tensors : dict[str, ndarray or Tensor]
        NumPy arrays where NumPy arrays were saved, PyTorch tensors on the CPU elsewhere.
    meta : dict[str, Any]
        The values saved with them.

    Raises
    ------
    CryoswayError
        When the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        message = f"{path} does not exist; is the path right?"
        raise CryoswayError(message) from None
    except SafetensorError as error:
        message = f"{path} is damaged ({error}); start again with --no-resume"
        raise CryoswayError(message) from None
    kinds = json.loads(header.get("kinds", "{}"))
    tensors = {name: _decode(tensor, kinds.get(name, "torch")) for name, tensor in stored.items()}
    return tensors, json.loads(header.get("meta", "{}"))


def read_header(path: Path) -> dict[str, Any]:
    """Read the values saved with the tensors, without the tensors; {} from a damaged file."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, 1 << 27)))
        return dict(json.loads(header["__metadata__"]["meta"]))
    except (OSError, ValueError, KeyError):
        return {}


def _encode(tensor: "np.ndarray | torch.Tensor") -> "tuple[torch.Tensor, str]":
    """Copy to memory of its own (safetensors refuses shared memory) and note the kind."""
    import torch

    if isinstance(tensor, torch.Tensor):
        kind, copied = "torch", tensor.detach().cpu().clone()
    else:
        kind, copied = "numpy", torch.tensor(tensor)
    if copied.is_complex():
        return torch.view_as_real(copied).contiguous(), f"{kind}-complex"
    return copied.contiguous(), kind


def _decode(tensor: "torch.Tensor", kind: str) -> "np.ndarray | torch.Tensor":
    import torch

    if kind.endswith("-complex"):
        tensor = torch.view_as_complex(tensor)
    return tensor.numpy() if kind.startswith("numpy") else tensor
