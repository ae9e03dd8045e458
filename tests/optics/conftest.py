"""What the tests of image formation share: the devices they run on."""

import pytest
import torch
from hypothesis import settings

NO_CUDA = "no CUDA device"

# How long an example takes says nothing on a shared machine.
settings.register_profile("optics", deadline=None, max_examples=60)
settings.load_profile("optics")


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA),
            ],
        ),
    ]
)
def device(request):
    return torch.device(request.param)
