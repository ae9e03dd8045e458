"""job.json: what a job is, and whether a folder holds one."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cryosway._errors import CryoswayError
from cryosway._version import __version__
from cryosway.engine._files import read_json, to_plain

FORMAT_NAME = "cryosway-job"
FORMAT_VERSION = 1
INFO_NAME = "job.json"

_PACKAGES = ("torch", "numpy", "scipy", "numba", "pandas", "scikit-learn")
# What may change when a job is resumed.
_VOLATILE = ("device", "threads", "gpus", "time_limit", "image_memory")


def collect_versions() -> dict[str, str]:
    """Collect the versions of cryosway, Python and the packages that do the arithmetic.

    Returns
    -------
    dict[str, str]
        By name; packages that are missing are left out.
    """
    versions = {"cryosway": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def read_job_info(folder: str | Path) -> dict[str, Any]:
    """Read job.json of a folder, of any format version that this release knows.

    Parameters
    ----------
    folder : str or Path
        A job folder.

    Returns
    -------
    dict[str, Any]
        Its values.

    Raises
    ------
    CryoswayError
        When the folder is not a job, is damaged, or comes from a newer release.
    """
    folder = Path(folder)
    if not (folder / INFO_NAME).is_file():
        missing = "does not exist" if not folder.exists() else f"holds no {INFO_NAME}"
        message = f"{folder} is not a job folder: it {missing}; give a folder made with --out"
        raise CryoswayError(message)
    info = read_json(folder / INFO_NAME)
    if not isinstance(info, dict) or info.get("format") != FORMAT_NAME:
        message = f"{folder / INFO_NAME} is not of a cryosway job; give a folder made with --out"
        raise CryoswayError(message)
    version = info.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        message = (
            f"{folder} has job format {version}, newer than the {FORMAT_VERSION} that cryosway "
            f"{__version__} knows; it was written by {_describe_writer(info)}: update cryosway"
        )
        raise CryoswayError(message)
    return info


def normalise_request(
    command: str, config: object, inputs: object
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Reduce a request to plain values that compare equal when the answer would be the same."""
    return command, to_plain(config or {}), to_plain(inputs or {})


def describe_origin(config: object, sources: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the fields of job.json that let a command be given again.

    Neither takes part when requests are compared: files may have been moved.

    Parameters
    ----------
    config : Mapping or pydantic model
        The options.
    sources : Mapping
        Paths of what is read, beside those that options name; relative to the working directory.

    Returns
    -------
    dict[str, Any]
        ``sources``: paths, made absolute; ``chosen``: names of the options that differ from their
        defaults, where these are known.

    Examples
    --------
    >>> describe_origin({"mask": Path("/a/mask.mrc")}, {"particles": [Path("/b.star")]})
    {'sources': {'mask': '/a/mask.mrc', 'particles': ['/b.star']}}
    """
    options = dict(config) if isinstance(config, Mapping | BaseModel) else {}
    paths = {name: value for name, value in options.items() if _holds_path(value)}
    found = {name: _make_absolute(value) for name, value in {**paths, **(sources or {})}.items()}
    origin: dict[str, Any] = {"sources": found} if found else {}
    if isinstance(config, BaseModel):
        origin["chosen"] = [*config.model_dump(exclude_defaults=True)]
    return origin


def _holds_path(value: Any) -> bool:
    return isinstance(value, Path) or (
        isinstance(value, tuple) and bool(value) and all(map(_holds_path, value))
    )


def _make_absolute(value: Any) -> Any:
    if isinstance(value, Path):
        named = not value.suffix and not value.exists()  # on the Hugging Face hub
        return str(value if named else value.absolute())
    return [_make_absolute(one) for one in value] if isinstance(value, list | tuple) else value


def describe_difference(
    info: dict[str, Any], request: tuple[str, dict[str, Any], dict[str, Any]]
) -> str | None:
    """Say how a folder's job differs from a request, or None when it is the same.

    Examples
    --------
    >>> info = {"command": "linear", "config": {"components": 4}, "inputs": {}}
    >>> describe_difference(info, ("linear", {"components": 8}, {}))
    'components=4, not 8'
    """
    command, config, inputs = request
    if info.get("command") != command:
        return f"it is a {info.get('command')} job, not {command}"
    for name, old, new in (
        ("config", info.get("config", {}), config),
        ("inputs", info.get("inputs", {}), inputs),
    ):
        changed = [
            key
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key) and key not in _VOLATILE
        ]
        if changed and name == "inputs":
            return f"its input was another ({', '.join(changed)})"
        if changed:
            return ", ".join(
                f"{key}={json.dumps(old.get(key))}, not {json.dumps(new.get(key))}"
                for key in changed[:3]
            )
    return None


def _describe_writer(info: dict[str, Any]) -> str:
    versions = info.get("versions")
    return f"cryosway {versions.get('cryosway', '?') if isinstance(versions, dict) else '?'}"
