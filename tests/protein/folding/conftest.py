"""A tiny ESMFold in the layout of the published one, its weights far from their start."""

import pytest
import torch

from cryosway.protein.folding import EsmFold, make_esmfold, write_esmfold


@pytest.fixture(scope="session")
def network():
    """Weights at random everywhere: at their start many layers of the trunk give nothing."""
    made = make_esmfold("tiny", seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return made


@pytest.fixture(scope="session")
def checkpoint(network, tmp_path_factory):
    return write_esmfold(network, tmp_path_factory.mktemp("esmfold"))


@pytest.fixture(scope="session")
def engine(checkpoint):
    return EsmFold(checkpoint, precision="float32")
