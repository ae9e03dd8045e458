"""Options of a command: one model that files, Python and the command line share."""

import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from cryosway._errors import CryoswayError


class Options(BaseModel):
    """Base of the option models; the description of each field is its help.

    Examples
    --------
    >>> class CountOptions(Options):
    ...     to: int = 3
    >>> CountOptions.check("count", {"to": 4}).to
    4
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def check(cls, command: str, settings: Mapping[str, Any]) -> Self:
        """Build the options, with every problem said in one `CryoswayError`.

        Parameters
        ----------
        command : str
            Whose options these are, named in the message.
        settings : Mapping[str, Any]
            By option name.

        Returns
        -------
        Options
            The checked options with defaults filled in.

        Raises
        ------
        CryoswayError
            When a name is unknown or a value is wrong.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            problems: dict[str, str] = {}
            for problem in error.errors():
                problems.setdefault(str(problem["loc"][:1]), cls._describe(problem))
            message = f"{command}: {'; '.join(problems.values())}"
            raise CryoswayError(message) from None

    @classmethod
    def _describe(cls, problem: Any) -> str:
        if problem["type"] == "extra_forbidden":
            return cls._describe_unknown(str(problem["loc"][0]))
        if problem["type"] == "value_error":
            return str(problem["ctx"]["error"])
        name = str(problem["loc"][0])
        if len(problem["loc"]) > 1:  # one member of a union: the type says more
            wanted = _describe_type(cls.model_fields[name].annotation)
            return f"{name} cannot be {problem['input']!r}; give {wanted}"
        message = problem["msg"].removeprefix("Input ")
        return f"{name} {message}, not {problem['input']!r}"

    @classmethod
    def _describe_unknown(cls, name: str) -> str:
        near = difflib.get_close_matches(name, cls.model_fields, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(cls.model_fields)}"
        return f"there is no option {name!r}; {advice}"


def _describe_type(annotation: Any) -> str:
    """Name a type as people do.

    Examples
    --------
    >>> from typing import Literal
    >>> _describe_type(Literal["auto"] | int | None)
    "'auto' or a whole number"
    """
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(repr(value) for value in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return " or ".join(_describe_type(kind) for kind in members)
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return names.get(annotation, "a file" if annotation is Path else str(annotation))
