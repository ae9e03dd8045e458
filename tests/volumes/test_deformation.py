"""Decoders from a latent to where beads are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosway.volumes._deformation import (
    Deformation,
    DeformationSpec,
    RigidSegments,
    cayley,
    nearest_seeds,
)

KINDS = ("both", "segments", "field", "mlp", "modes")


def make(kind, reference, **more):
    spec = DeformationSpec(kind=kind, latent_dim=2, segments=2, fields=3, width=8)
    chains = torch.zeros(len(reference), dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    return Deformation(spec, reference, chains, generator=generator, **more)


@pytest.fixture
def two_balls():
    """Two groups of beads, 60 Å apart."""
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)) * 5
    points[20:, 0] += 60
    return points


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_moves_at_the_start(kind, two_balls):
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(2))
    found = make(kind, two_balls)(z)
    assert torch.allclose(found, two_balls.expand(5, -1, -1), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_linear_part_is_added(kind, two_balls):
    mean, base = torch.randn_like(two_balls), torch.randn(2, *two_balls.shape)
    z = torch.tensor([[0.5, -2.0]])
    found = make(kind, two_balls, mean=mean, base=base)(z)[0]
    assert torch.allclose(found, two_balls + mean + 0.5 * base[0] - 2 * base[1], atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "modes"])
def test_learns(kind, two_balls):
    """Every decoder has a gradient at the start, by which beads come nearer to a target."""
    model = make(kind, two_balls)
    target = two_balls + torch.tensor([1.0, -2.0, 0.5])
    z = torch.randn(4, 2, generator=torch.Generator().manual_seed(2))
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    first = (model(z) - target).square().mean()
    for _ in range(60):
        loss = (model(z) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1 * first


def test_size_does_not_grow_with_the_model(two_balls):
    small, large = make("both", two_balls), make("both", two_balls.repeat(10, 1))
    count = [sum(p.numel() for p in model.parameters()) for model in (small, large)]
    assert count[0] == count[1]


def test_segments_keep_their_shape_under_a_large_turn(two_balls):
    """A segment turned by 90° is as large as before; a linear displacement would shrink it."""
    model = make("segments", two_balls)
    segments = model.parts[0]
    assert isinstance(segments, RigidSegments)
    segments.first.mul_(100)  # hard weights
    with torch.no_grad():
        segments.motion.last.weight.view(2, 6, -1)[1, 2, -1] = 2.0  # a quarter turn about z
    moved = model(torch.zeros(1, 2))[0]
    turning = (moved - two_balls).norm(dim=1) > 0.1
    assert 15 <= int(turning.sum()) <= 20
    for group in (slice(0, 20), slice(20, 40)):
        before, after = two_balls[group], moved[group]
        assert torch.allclose(torch.cdist(before, before), torch.cdist(after, after), atol=2e-2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_cayley_gives_rotations(turn):
    found = cayley(torch.tensor(turn, dtype=torch.float64))
    assert torch.allclose(found @ found.T, torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert float(torch.linalg.det(found)) == pytest.approx(1)


def test_cayley_turns_by_its_vector():
    found = cayley(torch.tensor([0.0, 0.0, 1e-3]))
    assert torch.allclose(
        found @ torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 1e-3, 0]), atol=1e-6
    )


def test_seeds_part_groups(two_balls):
    found = nearest_seeds(two_balls, 2)
    assert len(set(found[:20].tolist())) == 1
    assert len(set(found[20:].tolist())) == 1
    assert found[0] != found[-1]
    assert set(nearest_seeds(two_balls[:1], 3).tolist()) == {0}
