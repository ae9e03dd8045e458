"""The devices that the tests of image formation run on."""

import pytest
import torch

NO_CUDA = "no CUDA device"


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
