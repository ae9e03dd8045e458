"""From a line of the table to a command that cyclopts parses and explains."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import docstring_parser
from cyclopts import Group, Parameter
from pydantic import BaseModel

from cryosway._errors import CryoswayError
from cryosway.cli._commands import Command

KEYWORD = inspect.Parameter.KEYWORD_ONLY
_JOB = Group("Job", sort_key=3)
_FILES = Group("Reading particles", sort_key=2)
_METHOD = Group("Options", sort_key=1)
_JOB_NAMES = ("seed", "threads")

# name → (type, default, help)
_READING: dict[str, tuple[Any, Any, str]] = {
    "images_dir": (
        Path | None,
        None,
        "Folder of the image stacks, if they are not where the file says; or one stack.",
    ),
    "poses": (Path | None, None, "Poses that replace those of the file: a cryoDRGN poses.pkl."),
    "ctf": (Path | None, None, "CTF that replaces that of the file: a cryoDRGN ctf.pkl."),
    "accept_defaults": (
        bool,
        False,
        "Use 300 kV, Cs 2.7 mm, contrast 0.1 where the file does not say.",
    ),
}
_CONTROLS: dict[str, tuple[Any, Any, str]] = {
    "resume": (bool, True, "Go on with an unfinished run in the folder; --no-resume starts anew."),
    "overwrite": (bool, False, "Delete another job that is in the folder."),
    "device": (str, "auto", "auto (a GPU where there is one), cpu, cuda or cuda:1."),
    "gpus": (
        int | None,
        None,
        "Processes to share each batch, one per GPU (or on the CPU); torchrun and srun work, too.",
    ),
    "threads": (int | None, None, "CPU threads; by default all."),
}
# source → the arguments without a name: (name, type, help)
_SOURCES: dict[str, tuple[tuple[str, Any, str], ...]] = {
    "particles": (
        (
            "particles",
            list[Path],
            "Particles: .star, .cs, .mrcs or .txt; several are concatenated.",
        ),
    ),
    "structures": (
        ("structures", list[Path], "Structures (mmCIF, PDB), maps (.mrc) or a trajectory (.dcd)."),
    ),
    "docking": (
        (
            "files",
            list[Path],
            "Atomic models (one given twice is there twice), and last the density map (.mrc).",
        ),
    ),
    "comparison": (
        ("model", Path, "Structure that is judged: mmCIF or PDB; a model, ensemble or prediction."),
        ("reference", Path, "Structure that it is judged by."),
    ),
    "sequences": (("sequences", Path, "Protein sequences: FASTA, also gzipped."),),
    "predictions": (
        ("folders", list[Path], "Jobs of protein fold, or folders of models of other programs."),
    ),
    "atlas": (("atlas", Path, "Folder that cryosway protein atlas has made."),),
    "job": (("job", Path, "Job folder."),),
    "scenes": (
        (
            "sources",
            list[Path],
            "A job, a folder of cryosway path, maps in their order, or files of atomic models.",
        ),
    ),
    "jobs": (("jobs", list[Path], "Job folders, two or more."),),
    "folder": (("folder", Path, "Training folder of cryoDRGN (its --outdir)."),),
    "folders": (("folders", list[Path], "Folders of cryosway bench run or bench score."),),
    "sets": (("sets", list[Path], "Sets of cryosway bench make, or folders of CryoBench's."),),
    "scoring": (
        ("truth", Path, "Set of cryosway bench make or simulate, or a folder of CryoBench's."),
        ("result", Path, "Job on the set's particles, or folder of another program's results."),
    ),
    "none": (),
}


def build_command(command: Command) -> Callable[..., Any]:
    """Make the function that cyclopts calls for a command, with its signature and help."""
    parameters = list(_build_parameters(command))

    def call(*sources: Any, **values: Any) -> Any:
        return call_target(command, sources, values)

    call.__name__ = command.words[-1]
    call.__doc__ = _build_help(command)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def call_target(command: Command, sources: tuple[Any, ...], values: dict[str, Any]) -> Any:
    """Read the particles if need be, and call the function of a command.

    Only what was typed is passed, so that the defaults are the function's own.
    """
    reading = {}
    values.pop("gpus", None)  # one of these processes already
    if command.source == "particles":
        reading = {name: values.pop(name) for name in _READING if name in values}
    if isinstance(command.out, Path):
        values.setdefault("out", command.out)
    if command.source == "docking":
        sources = _part_map(sources[0])
    elif sources and isinstance(sources[0], list) and len(sources[0]) == 1:
        sources = (sources[0][0],)
    if command.source == "particles":
        from cryosway.particles import read_particles

        sources = (read_particles(sources[0], **reading),)
    return import_name(command.target)(*sources, **values)


def _part_map(files: list[Path]) -> tuple[list[Path], Path]:
    """Part the models to dock from the map, which is the last."""
    if len(files) < 2:
        msg = "protein dock: give one atomic model or several, and last the map"
        raise CryoswayError(msg)
    return files[:-1], files[-1]


def import_name(target: str) -> Any:
    """Import "module:name"."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def _build_parameters(command: Command) -> Iterator[inspect.Parameter]:
    for name, kind, text in _SOURCES[command.source]:
        yield inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_ONLY,
            annotation=_annotate(kind, Parameter(help=text)),
        )
    if command.out is not None:
        movie = command.source == "scenes"
        what = "The movie: a .mp4, .gif or .webp file." if movie else "Folder for the result."
        yield _keyword("out", Path, command.out, what, _JOB)
    listed = _list_model_options(command) if command.options else _list_arguments(command)
    for name, kind, default, about in listed:
        group = _JOB if name in _JOB_NAMES else _METHOD
        if name not in command.controls:
            yield _keyword(name, kind, default, about, group)
    for name in command.controls:
        yield _keyword(name, *_CONTROLS[name], _JOB)
    if command.source == "particles":
        for name, entry in _READING.items():
            yield _keyword(name, *entry, _FILES)


def _keyword(name: str, kind: Any, default: Any, text: str | None, group: Group) -> Any:
    """Make a keyword parameter; ``...`` as default means that it must be given."""
    empty = inspect.Parameter.empty
    negative = None if kind is bool and default is True else ()
    shown = False if default is None or default is False or default == () else None
    how = Parameter(
        group=group,
        negative=negative,
        show_default=shown,
        help=text,
        consume_multiple=_is_list_of_choices(kind),
    )
    default = empty if default is ... else default
    return inspect.Parameter(name, KEYWORD, default=default, annotation=_annotate(kind, how))


def _is_list_of_choices(kind: Any) -> bool:
    """Tell whether several values may follow one name, as in ``--parts null halves``."""
    members = get_args(kind)
    return get_origin(kind) is tuple and bool(members) and get_origin(members[0]) is Literal


def _annotate(kind: Any, how: Parameter) -> Any:
    """Attach what cyclopts should know to a type that is known only at run time."""
    return Annotated[kind, how]


def _list_model_options(command: Command) -> Iterator[tuple[str, Any, Any, str | None]]:
    """List the fields of the options model as (name, type, default, help)."""
    model: type[BaseModel] = import_name(command.options or "")
    for name, field in model.model_fields.items():
        default = ... if field.is_required() else field.get_default(call_default_factory=True)
        yield name, field.annotation, default, field.description


def _list_arguments(command: Command) -> Iterator[tuple[str, Any, Any, str | None]]:
    """List the keyword arguments of the function; its docstring is their help."""
    function = import_name(command.target)
    texts = _read_argument_help(function)
    given = {"out"} if command.out is not None else set()
    arguments = list(inspect.signature(function).parameters.values())
    for argument in arguments[len(_SOURCES[command.source]) :]:
        if argument.name in given or argument.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        kind = argument.annotation
        if isinstance(kind, str):
            kind = eval(kind, function.__globals__)  # our own source, as typing.get_type_hints does
        required = argument.default is inspect.Parameter.empty
        default = ... if required else argument.default
        yield argument.name, kind, default, texts.get(argument.name)


def _read_argument_help(function: Callable[..., Any]) -> dict[str, str]:
    """Read the help of each argument from the numpydoc docstring of a function."""
    found = docstring_parser.parse(function.__doc__ or "").params
    return {
        name: " ".join((entry.description or "").split())
        for entry in found
        for name in entry.arg_name.split(", ")
    }


def _build_help(command: Command) -> str:
    """Use the function's docstring where its arguments are the options, else the summary."""
    if command.options:
        return command.summary
    return inspect.getdoc(import_name(command.target)) or command.summary
