from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from cryosway import CryoswayError
from cryosway.engine import Options
from cryosway.methods import _options


class Fit(Options):
    components: Literal["auto"] | int = "auto"
    iterations: int = Field(3, ge=1)
    mask: Literal["auto", "none"] | Path = "auto"
    resolution: float | None = None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"componets": 3}, "fit: there is no option 'componets'; did you mean 'components'?"),
        (
            {"xyz": 3},
            "fit: there is no option 'xyz'; it knows components, iterations, mask, resolution",
        ),
        ({"components": "x"}, "fit: components cannot be 'x'; give 'auto' or a whole number"),
        ({"iterations": 0}, "fit: iterations should be greater than or equal to 1, not 0"),
        ({"mask": 3}, "fit: mask cannot be 3; give 'auto' or 'none' or a file"),
        (
            {"mask": 3, "iterations": 0},
            (
                "fit: iterations should be greater than or equal to 1, not 0; "
                "mask cannot be 3; give 'auto' or 'none' or a file"
            ),
        ),
    ],
)
def test_mistakes_are_one_sentence(settings, message):
    with pytest.raises(CryoswayError) as caught:
        Fit.check("fit", settings)
    assert str(caught.value) == message


def test_options_are_complete_and_frozen():
    options = Fit.check("fit", {"mask": "m.mrc"})
    assert options.mask == Path("m.mrc")
    with pytest.raises(ValueError, match="frozen"):
        options.mask = "auto"


@pytest.mark.parametrize(
    "name", [n for n in dir(_options) if n.endswith("Options") and n != "Options"]
)
def test_every_option_of_the_methods_has_a_default_and_a_description(name):
    """But for the few without which a command means nothing."""
    needed = {
        "EncodeOptions": {"job"},
        "ExportOptions": {"to"},
        "StructuralOptions": {"model"},
    }
    model = getattr(_options, name)
    fields = model.model_fields
    assert {n for n, field in fields.items() if field.is_required()} == needed.get(name, set())
    assert all(field.description for field in fields.values())
