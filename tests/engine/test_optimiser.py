"""The learning rate's course, and AdamW with the plan's memory."""

import pytest
import torch
from torch import nn

from cryosway.engine import ParameterGroup, TrainingPlan
from cryosway.engine._optimiser import Optimiser, learning_rate_at


def test_the_rate_falls_in_a_line_to_its_last_share():
    plan = TrainingPlan(
        epochs=1, batch_size=1, learning_rate=1.0, warmup_steps=10, decay="linear", final_rate=0.1
    )
    rates = [learning_rate_at(plan, step, 110) for step in (0, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.55, 0.1])


def test_a_cosine_ends_at_its_last_share_too():
    plan = TrainingPlan(epochs=1, batch_size=1, learning_rate=2.0, final_rate=0.25)
    assert learning_rate_at(plan, 100, 100) == pytest.approx(0.5)


def test_adam_remembers_as_the_plan_says():
    mine, theirs = (nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    plan = TrainingPlan(epochs=1, batch_size=1, betas=(0.5, 0.9))
    optimiser = Optimiser([ParameterGroup([mine])], plan)
    adam = torch.optim.AdamW([theirs], lr=0.1, betas=(0.5, 0.9), weight_decay=0)
    for scale in (1.0, -3.0, 0.5):
        mine.grad = scale * torch.tensor([1.0, 2.0])
        theirs.grad = mine.grad.clone()
        optimiser.step(0.1)
        adam.step()
    torch.testing.assert_close(mine, theirs)
