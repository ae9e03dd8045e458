"""States and their populations in words."""

from collections.abc import Sequence
from typing import Any

from cryosway.report._contents import MapFile

_MOST_NAMED = 6


def describe_states(found: dict[str, Any], maps: Sequence[MapFile] = ()) -> list[str]:
    """Say how many states there are, how populated they are, and how far their maps reach.

    Parameters
    ----------
    found : dict
        ``states.json``; empty where `states` was not run.
    maps : sequence of MapFile
        Of the states.

    Returns
    -------
    list of str
        A sentence, or none.
    """
    states = found.get("states") or []
    if not states:
        return []
    if len(states) == 1:
        barrier = (found.get("options") or {}).get("barrier", 1.0)
        return [f"The particles are one state: no barrier of {barrier:g} kT parts them."]
    if len(states) > _MOST_NAMED:
        shares = [100 * state["population"] for state in states]
        text = f"There are {len(states)} states, of {min(shares):.2g} to {max(shares):.2g} %"
        return [f"{text} of the particles each{_say_resolutions(maps)}."]
    named = [format_population(state) for state in states]
    text = f"There are {len(states)} states, with {', '.join(named[:-1])} and {named[-1]} %"
    certain = f"{100 * found['coverage']:g} % intervals"
    return [f"{text} of the particles ({certain}){_say_resolutions(maps)}."]


def format_population(state: dict[str, Any], name: str = "population") -> str:
    """Write a population and its interval, in per cent: ``33 (30 to 37)``; empty if not known."""
    share, ends = state.get(name), state.get(f"{name}_interval")
    if share is None:
        return ""
    if ends is None:
        return f"{100 * share:.3g}"
    low, high = 100 * ends[0], 100 * ends[1]
    decimals = 0 if high - low >= 3 else 1 if high - low >= 0.3 else 2
    return f"{100 * share:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"


def _say_resolutions(maps: Sequence[MapFile]) -> str:
    known = [item.resolution for item in maps if item.resolution is not None]
    if not known:
        return ""
    best, worst = f"{min(known):.1f}", f"{max(known):.1f}"
    return (
        f"; their maps reach {best} Å"
        if best == worst
        else f"; their maps reach {best} to {worst} Å"
    )
