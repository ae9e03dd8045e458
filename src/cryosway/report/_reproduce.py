"""The commands that made what a report shows, as they are typed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryosway.engine import read_job_info
from cryosway.jobs import find_validations, open_job, read_verdict
from cryosway.report._contents import Contents

_PLACEHOLDERS: dict[str, list[str]] = {  # of commands that take no particles
    "audit": ["JOB"],
    "bench score": ["SET", "RESULT"],
    "bench table": ["RUNS"],
    "compare": ["JOB", "JOB"],
    "demo": [],
    "density": ["JOB"],
    "motions": ["JOB"],
    "protein dock": ["MODEL", "MAP"],
    "protein fold": ["SEQUENCES"],
    "validate": ["JOB"],
}
_READING = ("images_dir", "poses", "ctf", "accept_defaults")


def list_commands(contents: Contents, validation: Path | None = None) -> list[str]:
    """List the commands that made a page: before its job, its own, and those on it.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    validation : Path, optional
        Folder of a validation that was given; by default the latest beside the job.

    Returns
    -------
    list of str
        Lines for the shell, in the order to be given.
    """
    out, job = contents.root.name, open_job(contents.root)
    judged = read_verdict(job, validation).validation  # an earlier one, where the last has no null
    found = find_validations(job) if validation is None else [validation]
    shown = [folder for folder in found if folder in (judged, found[-1])]
    return [
        *_list_before(contents.info),
        write_command(contents.info, out),
        *_list_descriptions(contents, out),
        *(write_command(read_job_info(folder), folder.name, [out]) for folder in shown),
        *_list_audit(contents, out),
    ]


def _list_before(info: dict[str, Any]) -> Iterator[str]:
    """List the commands of the jobs that a job reads, as prepare."""
    sources = info.get("sources") or {}
    given = sources.get("particles")
    folders = [str(Path(path).parent) for path in given] if isinstance(given, list) else []
    for name in (*folders, sources.get("linear"), sources.get("job")):
        if isinstance(name, str) and (Path(name) / "job.json").exists():
            before = read_job_info(name)
            if isinstance((before.get("sources") or {}).get("particles"), list):
                yield from _list_before(before)
                yield write_command(before, name)


def _list_descriptions(contents: Contents, out: str) -> Iterator[str]:
    """List the commands that have described the landscape of the job."""
    described = contents.main.landscape.get("options")
    if described:
        yield _spell("landscape", [out], {**described, **_read_volume_options(contents)})
    if "options" in contents.main.states:
        yield _spell("states", [out], contents.main.states["options"])


def _read_volume_options(contents: Contents) -> dict[str, Any]:
    """Give the options of ``landscape --volumes``, which its summary holds."""
    space = contents.main.volume_space
    found = {"volumes": space.get("volumes"), "volume_linkage": space.get("linkage")}
    return found | {"volume_clusters": len(space.get("clusters", [])) or None}


def _list_audit(contents: Contents, out: str) -> Iterator[str]:
    found, steps = contents.audit, [stage.path.resolve() for stage in contents.stages]
    if found is not None and found.path.resolve() not in steps:
        yield write_command(found.info, found.path.name, [out])


def write_command(info: dict[str, Any], out: str, given: list[str] | None = None) -> str:
    """Write the command line that repeats a job.

    Parameters
    ----------
    info : dict
        ``job.json``.
    out : str
        Name of the result folder.
    given : list of str, optional
        What the command is given, if not where job.json says.

    Returns
    -------
    str
        A line for the shell.
    """
    command, sources = str(info.get("command", "run")), info.get("sources") or {}
    config = dict(info.get("config") or {})
    if given is None:
        given = _name_input(command, config, info)
    chosen = info.get("chosen", [*config])
    options = {name: config[name] for name in config if name in (*chosen, "seed")}
    options |= {name: sources[name] for name in options if name in sources}
    options.setdefault("seed", info.get("seed"))
    options |= {name: sources[name] for name in _READING if name in sources}
    options.pop("out", None)
    note = "  # with other poses, CTF or contrast than there" if "changed" in sources else ""
    return _spell(command, [*given, "--out", out], options) + note


def _name_input(command: str, config: dict[str, Any], info: dict[str, Any]) -> list[str]:
    """Give what a command was given first; in capitals where job.json does not say."""
    sources = info.get("sources") or {}
    for name in ("particles", "jobs", "sequences", "folders"):
        if isinstance(sources.get(name), list):
            return [str(one) for one in sources[name]]
    if command in _PLACEHOLDERS:
        return [sources["job"]] if "job" in sources else _PLACEHOLDERS[command]
    source = config.pop("particles", None) or (info.get("inputs") or {}).get("particles")
    if not isinstance(source, str) or re.fullmatch("[0-9a-f]{64}", source):
        return ["PARTICLES"]  # a fingerprint, not a file
    return [source]


def _spell(command: str, words: list[str], options: dict[str, Any]) -> str:
    spelled = (word for name, value in options.items() for word in _spell_option(name, value))
    return shlex.join(["cryosway", *command.split(), *words, *spelled])


def _spell_option(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if value is None or value == [] or isinstance(value, dict):
        return []
    if isinstance(value, bool):
        return [flag] if value else ["--no-" + name.replace("_", "-")]
    if isinstance(value, list):
        several = [one if isinstance(one, list) else [one] for one in value]
        return [word for one in several for word in (flag, *map(str, one))]
    return [flag, str(value)]
