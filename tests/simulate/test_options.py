import pytest

from cryosway import CryoswayError
from cryosway.simulate import SimulateOptions


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"box": 33}, "box must be even, not 33"),
        ({"box": 0}, "box = 0"),
        ({"populations": (1.0, -0.5)}, "non-negative"),
        ({"populations": (0.0, 0.0)}, "not all zero"),
        ({"snr": 0.0}, "snr = 0.0"),
        ({"defocus_min": 2e4, "defocus_max": 1e4}, r"defocus_max \(10000\) is below"),
        ({"pixelsize": 3.0}, "there is no option 'pixelsize'; the options are .*pixel_size"),
        ({"projector": "magic"}, "projector = 'magic'"),
        ({"junk_fraction": 1.5}, "junk_fraction = 1.5"),
    ],
)
def test_every_wrong_option_has_its_sentence(settings, message):
    with pytest.raises(CryoswayError, match=message):
        SimulateOptions.check(settings)


def test_all_problems_are_told_at_once():
    with pytest.raises(CryoswayError, match=r"n = 0: .*; box must be even"):
        SimulateOptions.check({"box": 33, "n": 0})


def test_every_option_is_described_with_its_unit():
    fields = SimulateOptions.model_fields
    assert not [name for name, field in fields.items() if not field.description]
