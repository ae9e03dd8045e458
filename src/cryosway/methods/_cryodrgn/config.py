"""cryoDRGN's ``config.yaml`` (and the ``config.pkl`` of early versions), as plain values."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cryosway._errors import CryoswayError
from cryosway.particles import load_array_series

_PYTHON = "tag:yaml.org,2002:python/"


class _SettingsLoader(yaml.SafeLoader):
    """A loader of plain values that also knows tuples and numpy's numbers, and runs nothing."""


def _make_tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _make_number_type(loader: yaml.SafeLoader, node: yaml.MappingNode) -> "np.dtype[Any]":
    arguments = loader.construct_mapping(node, deep=True).get("args") or [None]
    if arguments[0] not in ("f2", "f4", "f8", "i4", "i8", "b1"):
        raise yaml.constructor.ConstructorError(None, None, "an unknown type of number", None)
    return np.dtype(arguments[0])


def _make_number(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> Any:
    dtype, content = loader.construct_sequence(node, deep=True)
    return np.frombuffer(content, dtype.newbyteorder("<"), 1)[0].item()


_SettingsLoader.add_constructor(f"{_PYTHON}tuple", _make_tuple)
_SettingsLoader.add_constructor(f"{_PYTHON}object/apply:numpy.dtype", _make_number_type)
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _SettingsLoader.add_constructor(f"{_PYTHON}object/apply:{_module}.scalar", _make_number)


def read_config(folder: Path) -> dict[str, Any]:
    """Read the settings of a training folder.

    Parameters
    ----------
    folder : Path
        With ``config.yaml``, or ``config.pkl``.

    Returns
    -------
    dict
        By section.

    Raises
    ------
    CryoswayError
        There are none, or they hold anything but plain values.
    """
    if (folder / "config.yaml").exists():
        config = _read_yaml(folder / "config.yaml")
    elif (folder / "config.pkl").exists():
        config = load_array_series(folder / "config.pkl")[0]
    else:
        message = (
            f"{folder} is not a training folder of cryoDRGN, since it holds no config.yaml; give "
            "the one that was cryodrgn's --outdir"
        )
        raise CryoswayError(message)
    if not isinstance(config, dict):
        message = f"the settings in {folder} are a {type(config).__name__}, not cryoDRGN's sections"
        raise CryoswayError(message)
    return config


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _SettingsLoader)
    except OSError as error:
        raise CryoswayError(f"cannot read {path}: {error.strerror}; check the path") from error
    except yaml.constructor.ConstructorError as error:
        message = f"{path} was refused: plain settings are expected, but it holds {error.problem}"
        raise CryoswayError(message) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        message = f"{path} is not a readable YAML file ({type(error).__name__}); copy it again"
        raise CryoswayError(message) from error
