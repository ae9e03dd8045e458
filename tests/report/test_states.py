"""States in words and on the page."""

import numpy as np
import pytest

from cryosway.report._states import describe_states, format_population


def make_states(*shares, width=0.06):
    states = [
        {"state": number, "population": share,
         "population_interval": [share - width / 2, share + width / 2]}
        for number, share in enumerate(shares, start=1)
    ]  # fmt: skip
    return {"coverage": 0.9, "states": states}


def test_populations_are_told_with_their_intervals():
    (told,) = describe_states(make_states(0.3, 0.7))
    assert told == (
        "There are 2 states, with 30 (27 to 33) and 70 (67 to 73) % of the particles "
        "(90 % intervals)."
    )


def test_many_states_are_told_by_their_range():
    (told,) = describe_states(make_states(*np.linspace(0.02, 0.18, 10)))
    assert told == "There are 10 states, of 2 to 18 % of the particles each."


def test_one_state_is_said_to_be_one():
    assert "no barrier of 1 kT" in describe_states(make_states(1.0))[0]
    assert describe_states({}) == []


@pytest.mark.parametrize(
    ("width", "text"),
    [(0.06, "33 (30 to 36)"), (0.006, "33.3 (33.0 to 33.6)"), (0.0006, "33.30 (33.27 to 33.33)")],
)
def test_digits_are_those_that_the_interval_leaves(width, text):
    (state,) = make_states(0.333, width=width)["states"]
    assert format_population(state) == text
