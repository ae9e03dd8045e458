"""The layers made for speed do what they say, and so do their gradients."""

import pytest
import torch

from cryosway.volumes._layers import affine_relu, affine_relu_plain


@pytest.mark.parametrize("own_weights", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_values_and_gradients_are_those_of_the_plain_twin(own_weights, residual):
    generator = torch.Generator().manual_seed(3)
    outputs = 5 if residual else 4
    shape = (3, outputs, 5) if own_weights else (outputs, 5)
    shapes = ((3, 7, 5), shape, (3, 1, outputs))
    leaves = [
        torch.randn(*s, generator=generator, dtype=torch.float64, requires_grad=True)
        for s in shapes
    ]
    pull = torch.randn(3, 7, outputs, generator=generator, dtype=torch.float64)
    fast, plain = (f(*leaves, residual=residual) for f in (affine_relu, affine_relu_plain))
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)
    ours, theirs = (torch.autograd.grad(out, leaves, pull) for out in (fast, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradient_of_a_constant_input_is_not_computed():
    x = torch.randn(2, 3, 4)
    weight = torch.randn(5, 4, requires_grad=True)
    out = affine_relu(x, weight, torch.zeros(2, 1, 5), residual=False)
    out.sum().backward()
    assert x.grad is None
    assert weight.grad is not None
