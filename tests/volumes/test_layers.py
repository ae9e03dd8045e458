"""The layers made for speed do what they say, and so do their gradients."""

import pytest
import torch

from cryosway.volumes import _layers
from cryosway.volumes._layers import residual_network, residual_network_plain, split_rows

IMAGES, ROWS, INPUTS, WIDTH, OUTPUTS = 3, 7, 4, 5, 2


def draw(*shape, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def make_network(own_weights, own_bias, images=IMAGES):
    """Two layers and the last, as leaves that require gradients."""
    widths = ((WIDTH, INPUTS), (WIDTH, WIDTH))
    weights = [draw(*((images,) if own_weights else ()), *s, seed=1) for s in widths]
    biases = [draw(*((images, 1) if own_bias else ()), WIDTH, seed=2 + k) for k in (0, 1)]
    last = draw(OUTPUTS, WIDTH, seed=4), draw(OUTPUTS, seed=5)
    for leaf in (*weights, *biases, *last):
        leaf.requires_grad_()
    return list(zip(weights, biases, strict=True)), last


def leaves_of(layers, last):
    return [tensor for layer in (*layers, last) for tensor in layer]


def round_network(layers, last):
    return [(w.bfloat16(), b.bfloat16()) for w, b in layers], [t.bfloat16() for t in last]


@pytest.mark.parametrize("images", [1, IMAGES])
@pytest.mark.parametrize(("own_weights", "own_bias"), [(False, False), (False, True), (True, True)])
def test_values_and_gradients_are_those_of_the_plain_twin(own_weights, own_bias, images):
    layers, last = make_network(own_weights, own_bias, images)
    x = draw(images, ROWS, INPUTS, seed=0).requires_grad_()
    fast, plain = (f(x, layers, last) for f in (residual_network, residual_network_plain))
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)
    leaves, pull = [x, *leaves_of(layers, last)], draw(*fast.shape, seed=6)
    ours, theirs = (torch.autograd.grad(out, leaves, pull) for out in (fast, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert all(gradient.abs().max() > 0 for gradient in ours)


def test_gradient_of_a_constant_input_is_not_computed():
    layers, last = make_network(own_weights=False, own_bias=True)
    x = draw(IMAGES, ROWS, INPUTS, seed=0)
    residual_network(x, layers, last).sum().backward()
    assert x.grad is None
    assert all(leaf.grad is not None for leaf in leaves_of(layers, last))


@pytest.mark.parametrize("fused", [True, False])
def test_bf16_rounds_products_and_keeps_gradients_in_the_precision_of_weights(fused, monkeypatch):
    if fused and not _layers._has_fused_product():
        pytest.skip("no fused product of bf16 on this processor")
    monkeypatch.setattr(_layers, "_has_fused_product", lambda: fused)
    layers, last = make_network(own_weights=False, own_bias=False)
    x, pull = draw(IMAGES, 400, INPUTS, seed=0), draw(IMAGES, 400, OUTPUTS, seed=6)
    exact = residual_network(x, layers, last)
    rounded = residual_network(x.bfloat16(), layers, last)
    assert rounded.dtype == torch.bfloat16
    assert 0 < (rounded - exact).norm() < 0.01 * exact.norm()
    leaves = leaves_of(layers, last)
    expected = torch.autograd.grad(exact, leaves, pull)
    plain = residual_network_plain(x.bfloat16(), *round_network(layers, last))
    as_usual, found = (
        torch.autograd.grad(out, leaves, pull.bfloat16()) for out in (plain, rounded)
    )
    for gradient, usual, true in zip(found, as_usual, expected, strict=True):
        assert gradient.dtype == torch.float64
        assert (gradient - true).norm() < 1.5 * (usual - true).norm()


def test_negative_zeros_and_signs_of_bf16_are_those_of_its_bits():
    x = torch.tensor([-torch.inf, -1.0, -1e-38, -0.0, 0.0, 1e-38, 1.0, torch.inf]).bfloat16()
    expected = torch.relu(x)
    _layers._bits(x).relu_()
    assert torch.equal(x, expected)


@pytest.mark.parametrize("own_weights", [False, True])
@pytest.mark.parametrize("count", [1, 3, 6, 50])
def test_blocks_of_rows_make_the_images_up(monkeypatch, count, own_weights):
    """Blocks hold about as many rows as asked for, and each meets the layers of its own images."""
    monkeypatch.setattr(_layers, "_ROWS_PER_WIDTH", 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    images = 5
    points = draw(images, count, 3, seed=0)
    layers = [(draw(*((images,) if own_weights else ()), WIDTH, 3, seed=1),
               draw(images, 1, WIDTH, seed=2))]  # fmt: skip
    whole, done = [], 0
    for blocks, own in split_rows(points, layers):
        together = len(blocks[0])
        assert all(together * block.shape[1] <= 2 * WIDTH for block in blocks)
        ((weight, bias),) = own
        assert torch.equal(bias, layers[0][1][done : done + together])
        assert torch.equal(weight, layers[0][0][done : done + together] if own_weights
                           else layers[0][0])  # fmt: skip
        whole.append(torch.cat(blocks, dim=1))
        done += together
    assert torch.equal(torch.cat(whole), points)
