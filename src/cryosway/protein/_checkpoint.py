"""Checkpoints of ESM-2 and ESMFold in the layout of Hugging Face: found, checked, opened.

Weights are read from safetensors only. Pickled ones (``pytorch_model.bin``, ``.pt``) can run code
when they are opened; `convert_weights` reads their numbers, and nothing else, into safetensors.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from cryosway._errors import CryoswayError
from cryosway.engine import read_json, write_atomically

if TYPE_CHECKING:
    import torch
    from torch import nn

Kind = Literal["language", "folding", "folding2"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_KINDS = {
    "language": "an ESM-2 language model",
    "folding": "an ESMFold model",
    "folding2": "an ESMFold2 model",
}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WHERE = {
    "language": "facebook/esm2_t33_650M_UR50D",
    "folding": "facebook/esmfold_v1",
    "folding2": "biohub/ESMFold2",
}
_HEADER_LIMIT = 1 << 28
_SAMPLED = 256  # blocks of a large file that stand for it
_BLOCK = 1 << 20


@final
@dataclass(frozen=True)
class Checkpoint:
    """A folder with a configuration and weights, both checked; `open_checkpoint` makes it.

    Attributes
    ----------
    folder : Path
        Where it is.
    kind : {"language", "folding", "folding2"}
        What it is.
    config : Mapping[str, Any]
        Its ``config.json``.
    files : tuple of Path
        Its safetensors files.
    tensors : frozenset of str
        Names of the tensors in them.
    """

    folder: Path
    kind: Kind
    config: Mapping[str, Any]
    files: tuple[Path, ...]
    tensors: frozenset[str]

    @property
    def layers(self) -> int:
        """Layers of the language model."""
        return int(self.config["num_hidden_layers"])

    def fingerprint(self) -> str:
        """Identify configuration and weights by their content, large files by samples of it."""
        return fingerprint_files([self.folder / CONFIG, *self.files])

    def holds(self, prefix: str) -> bool:
        """Tell whether there are tensors whose names contain the prefix."""
        return any(prefix in name for name in self.tensors)


def open_checkpoint(
    given: str | Path, kind: Kind = "language", *, fetch: bool = False
) -> Checkpoint:
    """Find a checkpoint and check what can be told without loading it.

    Parameters
    ----------
    given : path or str
        A local folder; or a name on the Hugging Face hub that was fetched before.
    kind : {"language", "folding", "folding2"}, optional
        What it has to be.
    fetch : bool, optional
        Whether a name may be fetched from the hub.

    Returns
    -------
    Checkpoint
        To be opened by `load_network`.

    Raises
    ------
    CryoswayError
        When it is not there, is of another architecture, or has its weights pickled; and where
        transformers is missing or too old.
    """
    require_transformers()
    folder = _find_folder(given, kind, fetch=fetch)
    config = _read_config(folder, kind)
    files = _find_weights(folder)
    names = frozenset(name for path in files for name in _read_names(path))
    return Checkpoint(folder, kind, config, files, names)


def load_network(
    checkpoint: Checkpoint,
    network: "type[nn.Module]",
    *,
    dtype: "torch.dtype | None" = None,
    may_lack: Sequence[str] = (),
) -> "nn.Module":
    """Load the weights into a network of transformers, on the CPU.

    Old names of tensors (rotary frequencies in each layer) are understood as well as new ones.

    Parameters
    ----------
    checkpoint : Checkpoint
        The folder.
    network : type
        `transformers.EsmForMaskedLM`, `transformers.EsmForProteinFolding` and the like.
    dtype : torch.dtype, optional
        Of the weights; by default float32.
    may_lack : sequence of str, optional
        Parts of the names of tensors that may be absent; they stay random.

    Returns
    -------
    Module
        In evaluation mode.

    Raises
    ------
    CryoswayError
        When tensors are missing, or have other shapes than the configuration says.
    """
    import torch

    with quiet_transformers():
        try:
            loaded, info = network.from_pretrained(  # type: ignore[attr-defined]
                checkpoint.folder,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=dtype or torch.float32,
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            first = str(error).strip().splitlines()[0]
            message = f"{checkpoint.folder} cannot be opened: {first}"
            raise CryoswayError(message) from None
    _require_whole(checkpoint, info, may_lack)
    return loaded.eval()


def _require_whole(
    checkpoint: Checkpoint, info: Mapping[str, Any], may_lack: Sequence[str]
) -> None:
    missing = [
        name
        for name in sorted(info["missing_keys"])
        if not any(part in name for part in (*may_lack, "inv_freq"))
    ]
    if missing:
        message = (
            f"{checkpoint.folder} lacks {len(missing)} tensors of {_KINDS[checkpoint.kind]}: "
            f"{_list_some(missing)}; is {WEIGHTS} whole, and of this {CONFIG}?"
        )
        raise CryoswayError(message)
    wrong = sorted(str(entry[0]) for entry in info["mismatched_keys"])
    if wrong:
        message = (
            f"{checkpoint.folder}: the shapes of {len(wrong)} tensors are not those of {CONFIG}: "
            f"{_list_some(wrong)}; {WEIGHTS} belongs to a model of another size"
        )
        raise CryoswayError(message)


def convert_weights(pickled: str | Path, out: str | Path | None = None) -> Path:
    """Convert pickled weights to safetensors, without running what a pickle may ask for.

    Parameters
    ----------
    pickled : path
        ``pytorch_model.bin`` of a checkpoint.
    out : path, optional
        By default ``model.safetensors`` beside it.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    CryoswayError
        When the file holds anything but tensors by name.

    Examples
    --------
    >>> convert_weights("esm2_t6_8M_UR50D/pytorch_model.bin")  # doctest: +SKIP
    PosixPath('esm2_t6_8M_UR50D/model.safetensors')
    """
    import numpy as np
    from safetensors.numpy import save_file

    from cryosway.particles import load_torch_archive

    pickled = Path(pickled)
    found = load_torch_archive(pickled)
    if not isinstance(found, dict) or not all(
        isinstance(value, np.ndarray) for value in found.values()
    ):
        message = f"{pickled} holds more than named tensors; give the {pickled.name} of a model"
        raise CryoswayError(message)
    target = pickled.with_name(WEIGHTS) if out is None else Path(out)
    tensors = {str(name): np.ascontiguousarray(value) for name, value in found.items()}
    with write_atomically(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    return target


def require_transformers() -> None:
    """Say what to install where transformers is missing or too old.

    Raises
    ------
    CryoswayError
        Before 5.3, padded batches with masks gave wrong logits.
    """
    try:
        from importlib.metadata import version

        found = version("transformers")
    except ImportError:
        message = "protein language models need transformers; pip install 'cryosway[protein]'"
        raise CryoswayError(message) from None
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if numbers < (5, 3):
        message = (
            f"transformers {found} computes wrong logits for padded batches with masks (mended in "
            "5.3); pip install 'cryosway[protein]'"
        )
        raise CryoswayError(message)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the library's progress bars and advice from the terminal, and it from the network."""
    require_transformers()
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging

        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


def _find_folder(given: str | Path, kind: Kind, *, fetch: bool) -> Path:
    folder = Path(given)
    if folder.is_dir():
        return folder
    if folder.is_file():
        message = f"{given} is a file; give the folder with {CONFIG} and {WEIGHTS}"
        raise CryoswayError(message)
    if not _HUB_NAME.fullmatch(str(given)):
        message = (
            f"there is no folder {given}; give one in the layout of Hugging Face ({CONFIG}, "
            f"{WEIGHTS}), or a name there as {_WHERE[kind]} with --fetch"
        )
        raise CryoswayError(message)
    return _find_by_name(str(given), fetch=fetch)


def _find_by_name(name: str, *, fetch: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "vocab.txt"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=not fetch))
    except Exception as error:
        if not fetch:
            message = (
                f"there is no folder {name}; to fetch the checkpoint of that name from the "
                "Hugging Face hub, give --fetch"
            )
        else:
            first = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            message = (
                f"{name} cannot be fetched from the Hugging Face hub ({first}); fetch it on "
                "another machine and give its folder"
            )
        raise CryoswayError(message) from None


def _read_config(folder: Path, kind: Kind) -> dict[str, Any]:
    if not (folder / CONFIG).exists():
        message = (
            f"{folder} is no checkpoint: it has no {CONFIG}; expected are {CONFIG} and {WEIGHTS}"
        )
        raise CryoswayError(message)
    config = read_json(folder / CONFIG)
    problem = _find_config_problem(config, kind)
    if problem:
        message = f"{folder} {problem}; needed is {_KINDS[kind]}, as {_WHERE[kind]}"
        raise CryoswayError(message)
    return dict(config)


def _find_config_problem(config: Any, kind: Kind) -> str | None:
    if not isinstance(config, dict) or "model_type" not in config:
        return f"has a {CONFIG} without model_type"
    if config["model_type"] != ("esmfold2" if kind == "folding2" else "esm"):
        return f"is a model of another architecture ({config['model_type']})"
    if kind == "folding2":
        return None
    folding = bool(config.get("is_folding_model"))
    if folding and kind == "language":
        return "is an ESMFold model"
    if not folding and kind == "folding":
        return "is a language model, without the folding part"
    if config.get("position_embedding_type", "absolute") != "rotary":
        return "is of the first generation (ESM-1: absolute positions)"
    return None


def _find_weights(folder: Path) -> tuple[Path, ...]:
    if (folder / WEIGHTS).exists():
        return (folder / WEIGHTS,)
    if (folder / INDEX).exists():
        names = sorted(set(read_json(folder / INDEX)["weight_map"].values()))
        absent = [name for name in names if not (folder / name).exists()]
        if absent:
            message = f"{folder} lacks {_list_some(absent)}, which {INDEX} names; fetch it again"
            raise CryoswayError(message)
        return tuple(folder / name for name in names)
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
    pickled = [name for name in pickled if "contact-regression" not in name]
    if pickled:
        path = folder / pickled[0]
        message = (
            f"{folder} has pickled weights only ({pickled[0]}), which can run code when opened; "
            'convert them: python -c "from cryosway.protein import convert_weights; '
            f"convert_weights('{path}')\""
        )
        raise CryoswayError(message)
    message = f"{folder} has no weights: {WEIGHTS} is missing"
    raise CryoswayError(message)


def _read_names(path: Path) -> list[str]:
    """Read the names of the tensors, and check that all their bytes are there."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, _HEADER_LIMIT)))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        message = f"{path} is no safetensors file; fetch it again"
        raise CryoswayError(message) from None
    wanted, found = 8 + size + end, path.stat().st_size
    if found < wanted:
        message = f"{path} is cut short: {found} bytes of {wanted}; fetch it again"
        raise CryoswayError(message)
    return list(header)


def fingerprint_files(paths: Iterable[Path]) -> str:
    """Identify files by name and content, large ones by samples of it."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        for block in _sample_blocks(path):
            digest.update(block)
    return digest.hexdigest()


def _sample_blocks(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    yield str(size).encode()
    blocks = -(-size // _BLOCK)
    step = max(1, blocks // _SAMPLED)
    with path.open("rb") as file:
        for block in range(0, blocks, step):
            file.seek(block * _BLOCK)
            yield file.read(_BLOCK)


def _list_some(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
