import copy

import pytest
import torch
from torch.nn.functional import embedding

from cryosway.engine import RowAdam


def make_table(rows=6, columns=3):
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return table.requires_grad_()


def step_towards(table, optimiser, rows, *, sparse=True, rate=0.1, decay=0.0):
    """One step of a loss whose gradient differs between rows."""
    table.grad = None
    rows = torch.tensor(rows)
    looked_up = embedding(rows, table, sparse=sparse)
    (looked_up - rows[:, None]).square().sum().backward()
    optimiser.step(rate, decay)


@pytest.mark.parametrize("sparse", [True, False])
def test_rows_outside_the_batch_stay(sparse):
    table = make_table()
    optimiser = RowAdam([table])
    before = table.detach().clone()
    for rows in ([1, 4], [4, 1], [4]):
        step_towards(table, optimiser, rows, sparse=sparse)
    moved = (table != before).any(1)
    assert moved.tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_each_row_moves_like_a_parameter_of_its_own_under_adamw(decay):
    """Rows visited at their own times against AdamW on each row alone."""
    table = make_table()
    twins = [row.detach().clone().requires_grad_() for row in table]
    adams = [torch.optim.AdamW([twin], lr=0.1, weight_decay=decay) for twin in twins]
    optimiser = RowAdam([table])
    for rows in ([0, 1, 2], [2, 5], [2, 0], [5], [1, 2, 3]):
        step_towards(table, optimiser, rows, decay=decay)
        for row in rows:
            adams[row].zero_grad()
            (twins[row] - row).square().sum().backward()
            adams[row].step()
    torch.testing.assert_close(table.detach(), torch.stack(twins).detach(), rtol=1e-12, atol=0)


def test_row_that_comes_twice_moves_once_by_the_sum():
    once, twice = make_table(), make_table()
    first, second = RowAdam([once]), RowAdam([twice])
    for _ in range(3):
        step_towards(twice, second, [2, 3, 2])
        once.grad = None
        rows = torch.tensor([2, 3])
        residual = embedding(rows, once, sparse=True) - rows[:, None]
        (residual.square() * torch.tensor([[2.0], [1.0]])).sum().backward()
        first.step(0.1)
    torch.testing.assert_close(once, twice, rtol=1e-12, atol=0)
    assert second.state()["0.count"].flatten().tolist() == [0, 0, 3, 3, 0, 0]


def test_sparse_and_dense_gradients_agree():
    tables = [make_table(), make_table()]
    optimisers = [RowAdam([table]) for table in tables]
    for rows in ([0, 3], [3, 2], [3]):
        for table, optimiser, sparse in zip(tables, optimisers, [True, False], strict=True):
            step_towards(table, optimiser, rows, sparse=sparse)
    torch.testing.assert_close(tables[0], tables[1])


def test_saved_state_goes_on():
    table = make_table()
    optimiser = RowAdam([table])
    step_towards(table, optimiser, [0, 1])
    copied = copy.deepcopy(table)
    resumed = RowAdam([copied])
    resumed.load_state({name: tensor.clone() for name, tensor in optimiser.state().items()})
    for either, moving in ((table, optimiser), (copied, resumed)):
        step_towards(either, moving, [1, 2])
    assert torch.equal(table, copied)


def test_table_without_gradient_is_left_alone():
    table = make_table()
    before = table.detach().clone()
    RowAdam([table]).step(0.1)
    assert torch.equal(table.detach(), before)


def test_rows_may_have_any_shape():
    table = torch.zeros(4, 2, 3, requires_grad=True)
    optimiser = RowAdam([table])
    table[1:3].sum().backward()
    optimiser.step(0.25)
    expected = torch.tensor([0, -0.25, -0.25, 0])[:, None, None].expand(4, 2, 3)
    torch.testing.assert_close(table.detach(), expected)
