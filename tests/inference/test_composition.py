"""Compositions of images of parts that are vectors."""

import math

import pytest
import torch

from cryosway.inference import (
    find_variable_parts,
    learn_shares,
    list_compositions,
    mix_compositions,
    weigh_compositions,
)

COUNT, POINTS = 800, 300


def make_gram(occupancy, contrast=None, size=0.35, seed=0, change=None):
    """Gram matrices of images of three parts whose occupancies (n, 3) are given."""
    generator = torch.Generator().manual_seed(seed)
    n = len(occupancy)
    parts = size * torch.randn(n, 3, POINTS, generator=generator)
    contrast = torch.ones(n) if contrast is None else contrast
    noise = math.sqrt(0.5) * torch.randn(n, POINTS, generator=generator)
    shown = parts if change is None else change(parts)
    data = contrast[:, None] * (occupancy[..., None] * shown).sum(1) + noise
    columns = torch.cat([parts, data[:, None]], dim=1)
    return columns @ columns.mT


@pytest.fixture
def occupancy():
    """The last part is in 40 % of the images."""
    found = torch.ones(COUNT, 3)
    found[: round(0.6 * COUNT), 2] = 0
    return found


def test_all_compositions_but_the_empty_one():
    assert list_compositions(3, [1, 2]).tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0]]
    assert list_compositions(2, [0, 1]).tolist() == [[1, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("sd", [0.05, 0.3])
def test_contrast_is_integrated_out(sd):
    """The evidence is the integral over the contrast of the likelihood times the prior."""
    gram = make_gram(torch.ones(4, 3)).double()
    table = list_compositions(3, [1, 2])
    evidence, mean = weigh_compositions(gram, table, sd)
    a = torch.linspace(1 - 8 * sd, 1 + 8 * sd, 4001, dtype=torch.float64)
    prior = torch.exp(-0.5 * ((a - 1) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    for c, row in enumerate(table.double()):
        power = row @ gram[:, :-1, :-1] @ row
        match, data = gram[:, :-1, -1] @ row, gram[:, -1, -1]
        misfit = data[:, None] - 2 * a * match[:, None] + a**2 * power[:, None]
        least = misfit.amin(1, keepdim=True)
        density = torch.exp(least - misfit) * prior
        integral = torch.trapezoid(density, a)
        assert torch.allclose(evidence[:, c], integral.log() - least[:, 0], atol=1e-6)
        found = torch.trapezoid(density * a, a) / integral
        assert torch.allclose(mean[:, c], found, atol=1e-6)


def test_no_spread_of_contrast_is_the_limit_of_a_small_one():
    gram = make_gram(torch.ones(4, 3)).double()
    table = list_compositions(3, [2])
    fixed, small = (weigh_compositions(gram, table, sd)[0] for sd in (0.0, 1e-5))
    assert torch.allclose(fixed, small, atol=1e-4)


def test_shares_are_those_of_the_images(occupancy):
    table = list_compositions(3, [1, 2])
    evidence = weigh_compositions(make_gram(occupancy), table, 0.1)[0]
    shares, total = learn_shares(evidence)
    assert shares.sum() == pytest.approx(1)
    assert float(shares @ table[:, 2].double()) == pytest.approx(0.4, abs=0.02)
    assert float(shares @ table[:, 1].double()) > 0.98
    # They are the most likely ones.
    for other in (torch.full((4,), 0.25), torch.tensor([0.45, 0.53, 0.01, 0.01])):
        assert total > float(mix_compositions(evidence.double(), other.log())[0].sum())


def test_absence_is_told_from_contrast(occupancy):
    """Images are up to 30 % paler or darker; the part that is missing is found all the same."""
    contrast = 1 + 0.3 * (2 * torch.rand(COUNT, generator=torch.Generator().manual_seed(1)) - 1)
    gram = make_gram(occupancy, contrast, size=0.5)
    assert find_variable_parts(gram, [0, 1, 2], 0.1).parts == (2,)
    table = list_compositions(3, [2])
    evidence = weigh_compositions(gram, table, 0.1)[0]
    probability = mix_compositions(evidence, learn_shares(evidence)[0].log())[1]
    wrong = ((probability[:, 0] > 0.5) != (occupancy[:, 2] > 0.5)).float().mean()
    assert wrong < 0.01


@pytest.mark.parametrize("size", [0.1, 0.35])
def test_nothing_is_missing_where_all_is_there(size):
    found = find_variable_parts(make_gram(torch.ones(COUNT, 3), size=size), [0, 1, 2], 0.1)
    assert found.parts == ()
    assert found.closest <= 0


def test_finds_several_parts_the_surest_first(occupancy):
    occupancy[::10, 1] = 0
    found = find_variable_parts(make_gram(occupancy), [0, 1, 2], 0.1)
    assert found.parts == (2, 1)
    assert found.gains[0] > found.gains[1] > 0
    assert find_variable_parts(make_gram(occupancy), [0, 1, 2], 0.1, most=1).parts == (2,)


def test_a_part_weak_in_all_images_is_not_missing():
    """Half its strength everywhere, as of a part that is blurred, is no composition."""
    occupancy = torch.ones(COUNT, 3)
    occupancy[:, 2] = 0.4
    assert find_variable_parts(make_gram(occupancy), [0, 1, 2], 0.1).parts == ()


def test_a_part_that_has_moved_is_not_missing(occupancy):
    """In some images the last part looks otherwise, but has all its power."""
    other = 0.35 * torch.randn(COUNT, POINTS, generator=torch.Generator().manual_seed(9))
    gone = occupancy[:, 2] == 0

    def move(parts):
        return torch.cat([parts[:, :2], torch.where(gone[:, None], other, parts[:, 2])[:, None]], 1)

    assert find_variable_parts(make_gram(occupancy), [2], 0.1).parts == (2,)
    moved = make_gram(torch.ones(COUNT, 3), change=move)
    assert find_variable_parts(moved, [2], 0.1).parts == ()


def test_rare_absence_is_left_alone(occupancy):
    occupancy[:, 2] = 1
    occupancy[:12, 2] = 0
    gram = make_gram(occupancy)
    assert find_variable_parts(gram, [1, 2], 0.1).parts == ()
    assert find_variable_parts(gram, [1, 2], 0.1, least_share=0.01).parts == (2,)
