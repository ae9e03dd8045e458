import csv
import dataclasses
import functools
import math
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cryosway import CryoswayError, CryoswayWarning
from cryosway.engine import (
    JobFolder,
    Losses,
    ParameterGroup,
    Terminated,
    TimeLimitError,
    TrainingPlan,
    _trainer,  # imported here, that no test waits for it
    load_tensors,
    read_job_info,
    read_json,
    train,
)

SCRIPT = Path(__file__).with_name("training_job.py")
NAMES = SimpleNamespace(**runpy.run_path(str(SCRIPT), run_name="training_job"))
COUNT, PLAN, SineStep = NAMES.COUNT, NAMES.PLAN, NAMES.SineStep
CPU = torch.device("cpu")


def start_training(folder, seconds):
    command = [sys.executable, SCRIPT, folder, str(seconds)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish_training(folder):
    child = start_training(folder, 0)
    _, errors = child.communicate()
    assert child.returncode == 0, errors


def run_training(folder, *, plan=PLAN, step=None, **options):
    step = step or SineStep()
    with JobFolder.start(folder, "sine", {"plan": dataclasses.replace(plan)}) as job:
        result = train(plan, step, COUNT, job, CPU, **options)
    return step, result


def read_metrics(folder):
    """All columns of metrics.csv but those that depend on the clock and the machine."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["items_per_s"], row["memory_bytes"]
    return rows


def wait_for_step(folder, step):
    """Wait until the metrics have got to a step."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "metrics.csv").exists():
            rows = (folder / "metrics.csv").read_text().splitlines()
            if len(rows) > 1 and int(rows[-1].split(",")[2]) >= step:
                return
        time.sleep(0.01)
    pytest.fail("the training did not get going")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The training that nobody interrupts: its weights and its metrics."""
    folder = tmp_path_factory.mktemp("training") / "job"
    finish_training(folder)
    return load_file(folder / "checkpoints" / "result.safetensors"), read_metrics(folder)


def assert_like_undisturbed(folder, undisturbed):
    assert read_job_info(folder)["status"] == "finished"
    weights = load_file(folder / "checkpoints" / "result.safetensors")
    for name, expected in undisturbed[0].items():
        torch.testing.assert_close(weights[name], expected, rtol=0, atol=0)
    assert read_metrics(folder) == undisturbed[1]


@pytest.mark.parametrize("step", [5, 30])
def test_killed_training_goes_on_to_the_same_weights_and_losses(tmp_path, undisturbed, step):
    folder = tmp_path / "job"
    child = start_training(folder, 0.02)
    wait_for_step(folder, step)
    child.kill()
    child.communicate()
    assert read_job_info(folder)["status"] == "running"
    finish_training(folder)
    if step == 30:
        assert "goes on after step" in (folder / "log.txt").read_text()
    assert_like_undisturbed(folder, undisturbed)


class SignallingStep(SineStep):
    """Is asked to end in the middle of a step, at each try at a later one."""

    def __init__(self, number, place):
        super().__init__()
        self.number, self.place, self.taken = number, place, 0

    def loss(self, batch, generator):
        losses = super().loss(batch, generator)
        self.taken += 1
        if self.taken == self.place:
            signal.raise_signal(self.number)
        return losses


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_polite_signal_waits_for_the_step_and_a_checkpoint(tmp_path, undisturbed, number, kind):
    config, plan = {"plan": PLAN}, dataclasses.replace(PLAN, checkpoint_seconds=1000)
    for place, step in ((1, 1), (12, 13), (5, 18)):  # the first, the last of an epoch, one within
        with pytest.raises(kind), JobFolder.start(tmp_path, "sine", config) as job:
            train(plan, SignallingStep(number, place), COUNT, job, CPU)
        assert read_job_info(tmp_path)["status"] == "interrupted"
        path = tmp_path / "checkpoints" / "training.safetensors"
        assert load_tensors(path)[1]["step"] == step
    with JobFolder.start(tmp_path, "sine", config) as job:
        step = SineStep()
        train(plan, step, COUNT, job, CPU)
        job.save_checkpoint("result", step.module.state_dict())
    assert_like_undisturbed(tmp_path, undisturbed)


def test_time_limit_stops_and_says_how_to_go_on(tmp_path, undisturbed):
    config = {"plan": PLAN}
    plan = dataclasses.replace(PLAN, time_limit_s=1e-6)  # one step, then
    for step in (1, 2):
        with (
            pytest.raises(TimeLimitError, match=rf"reached at step {step} of 48 .* same command"),
            JobFolder.start(tmp_path, "sine", config) as job,
        ):
            train(plan, SineStep(), COUNT, job, CPU)
        info = read_job_info(tmp_path)
        assert info["status"] == "interrupted"
        assert "error" not in info
        assert "the same command goes on" in (tmp_path / "log.txt").read_text()
    with JobFolder.start(tmp_path, "sine", config) as job:
        last = SineStep()
        train(PLAN, last, COUNT, job, CPU)
        job.save_checkpoint("result", last.module.state_dict())
    assert_like_undisturbed(tmp_path, undisturbed)


def test_time_limit_is_kept(tmp_path):
    step = SineStep(seconds=0.1)
    with JobFolder.start(tmp_path, "sine") as job:
        limit = job.elapsed_s + 1.0
        with pytest.raises(TimeLimitError):
            train(dataclasses.replace(PLAN, time_limit_s=limit), step, COUNT, job, CPU)
        assert limit - 0.6 < job.elapsed_s < limit + 0.2
        assert job.load_checkpoint("training")[1]["step"] > 1


def test_every_row_comes_once_per_epoch_in_another_order():
    seen = []

    class Step(SineStep):
        def load(self, rows):
            seen.append(rows)
            return super().load(rows)

    train(PLAN, Step(), COUNT, None, CPU)
    epochs = np.concatenate(seen).reshape(PLAN.epochs, COUNT)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(COUNT), (4, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == PLAN.epochs


def test_same_seed_same_weights_other_seed_others():
    def weights(seed, threads):
        plan = dataclasses.replace(PLAN, seed=seed, loader_threads=threads)
        step = SineStep()
        train(plan, step, COUNT, None, CPU)
        return nn.utils.parameters_to_vector(step.module.parameters())

    first = weights(3, 1)
    assert torch.equal(first, weights(3, 3))
    assert torch.equal(first, weights(3, 0))
    assert not torch.allclose(first, weights(4, 1))


def test_weights_follow_adamw_written_out(tmp_path):
    """The engine against a plain loop with PyTorch's AdamW on the same batches."""
    plan = TrainingPlan(
        epochs=3, batch_size=8, learning_rate=1e-2, warmup_steps=7, weight_decay=0.1,
        clip_norm=0.5, precision="float32",
    )  # fmt: skip
    step = SineStep(noise=0)
    step.module.offsets.requires_grad_(False)
    train(plan, step, COUNT, None, CPU)
    twin = SineStep(noise=0)
    twin.module.offsets.requires_grad_(False)
    parameters = list(twin.module.network.parameters())
    adam = torch.optim.AdamW(parameters, weight_decay=0.1)
    total, number = 3 * 12, 0
    for epoch in range(3):
        order = np.random.default_rng([0, epoch]).permutation(COUNT)
        for start in range(0, COUNT, 8):
            adam.zero_grad()
            twin.loss(twin.load(order[start : start + 8]), None).total.backward()
            nn.utils.clip_grad_norm_(parameters, 0.5)
            cosine = 0.5 * (1 + math.cos(math.pi * (number - 7) / (total - 7)))
            adam.param_groups[0]["lr"] = 1e-2 * ((number + 1) / 7 if number < 7 else cosine)
            adam.step()
            number += 1
    for ours, theirs in zip(step.module.parameters(), twin.module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_epoch_means_are_over_items_not_steps(tmp_path):
    class Step(SineStep):
        def loss(self, batch, generator):
            rows = batch["rows"].double()
            return Losses((rows + 0 * self.module.offsets.sum()).mean(), {"n": rows.new_tensor(1)})

    said = []
    plan = dataclasses.replace(PLAN, batch_size=32, epochs=2)  # 32, 32, 26
    _, result = run_training(
        tmp_path, plan=plan, step=Step(), on_epoch=lambda epoch, means: said.append((epoch, means))
    )
    assert result.losses == pytest.approx({"loss": (COUNT - 1) / 2, "n": 1})
    assert result.steps == 6
    assert [epoch for epoch, _ in said] == [0, 1]
    rows = read_metrics(tmp_path)
    assert [(row["over"], row["epoch"], row["step"]) for row in rows] == [
        ("epoch", "1", "3"),
        ("steps", "2", "5"),
        ("epoch", "2", "6"),
    ]
    assert float(rows[-1]["loss"]) == pytest.approx((COUNT - 1) / 2)


def test_finished_training_is_not_done_again(tmp_path):
    first, result = run_training(tmp_path / "a")
    with JobFolder.start(tmp_path / "b", "sine") as job:
        train(PLAN, SineStep(), COUNT, job, CPU)
        again, told = SineStep(), []
        second = train(PLAN, again, COUNT, job, CPU, on_epoch=lambda *given: told.append(given))
    assert again.epochs == []
    assert second.losses == result.losses
    assert told == [(3, result.losses)]
    for a, b in zip(first.module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_ends_where_it_is_told_to(tmp_path):
    """So it does when the run goes on from there."""
    with JobFolder.start(tmp_path, "sine") as job:
        for _ in range(2):
            step = SineStep()
            result = train(PLAN, step, COUNT, job, CPU, on_epoch=lambda epoch, _: epoch == 1)
            assert result.steps == 24
        assert step.epochs == []


def test_two_trainings_of_a_job_keep_apart(tmp_path):
    with JobFolder.start(tmp_path, "sine") as job:
        for name in ("coarse", "fine"):
            assert train(PLAN, SineStep(), COUNT, job, CPU, name=name).steps == 48


def test_parameters_may_join_later():
    class Step(SineStep):
        def begin_epoch(self, epoch, progress):
            super().begin_epoch(epoch, progress)
            self.module.offsets.requires_grad_(epoch >= 2)
            if epoch == 2:
                assert not self.module.offsets.any()

    step = Step()
    train(PLAN, step, COUNT, None, CPU)
    assert step.module.offsets.ne(0).all()
    assert step.epochs == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_names_the_step(tmp_path, bad):
    class Step(SineStep):
        def loss(self, batch, generator):
            losses = super().loss(batch, generator)
            spoiled = bool((batch["rows"] == 17).any()) and len(self.epochs) == 2
            return Losses(losses.total * bad if spoiled else losses.total, {})

    place = np.flatnonzero(np.random.default_rng([3, 1]).permutation(COUNT) == 17)[0]
    step = 12 + int(place) // 8 + 1
    with pytest.raises(CryoswayError, match=rf"step {step} of epoch 2: loss (nan|inf); .* smaller"):
        run_training(tmp_path, step=Step())
    assert read_job_info(tmp_path)["status"] == "failed"
    with JobFolder.start(tmp_path, "sine", {"plan": PLAN}) as job:
        tensors, meta = job.load_checkpoint("training")
    assert meta["step"] < step
    assert all(tensor.isfinite().all() for tensor in tensors.values())


class HungryStep(SineStep):
    """Runs out of memory where a batch has more than a number of items."""

    def __init__(self, limit, error, **options):
        super().__init__(**options)
        self.limit, self.error, self.loaded = limit, error, []

    def loss(self, batch, generator):
        self.loaded.append(len(batch["x"]))
        if len(batch["x"]) > self.limit:
            raise self.error
        return super().loss(batch, generator)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("unable to mmap 9 bytes: Cannot allocate memory; not enough memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_takes_the_batch_in_parts(tmp_path, error):
    step = HungryStep(3, error, noise=0, dtype=torch.float64)
    with pytest.warns(CryoswayWarning) as warned:
        _, result = run_training(tmp_path, step=step)
    assert "in 2 parts" in str(warned[0].message)
    assert "in 4 parts, with the same result; a batch size of 2 would fit" in str(warned[1].message)
    assert len(warned) == 2
    assert result.parts == 4
    assert read_json(tmp_path / "decisions.json")[0]["value"] == 4
    assert step.loaded[:3] == [8, 4, 2]
    assert max(step.loaded[3:]) <= 3
    twin = SineStep(noise=0, dtype=torch.float64)
    train(PLAN, twin, COUNT, None, CPU)
    for ours, theirs in zip(step.module.parameters(), twin.module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:a batch does not fit")
def test_item_that_never_fits_is_an_error():
    with pytest.raises(CryoswayError, match=r"a single item needs more memory than cpu has"):
        train(PLAN, HungryStep(0, MemoryError()), COUNT, None, CPU)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(PLAN, HungryStep(3, RuntimeError("shapes cannot be multiplied")), COUNT, None, CPU)


def test_bf16_keeps_float32_weights():
    seen = set()

    class Step(SineStep):
        def loss(self, batch, generator):
            seen.add(self.module.network(batch["x"]).dtype)
            return super().loss(batch, generator)

    step = Step()
    result = train(dataclasses.replace(PLAN, precision="bf16"), step, COUNT, None, CPU)
    assert result.precision == "bf16"
    assert seen == {torch.bfloat16}
    assert {parameter.dtype for parameter in step.module.parameters()} == {torch.float32}
    full = train(PLAN, SineStep(), COUNT, None, CPU)
    assert result.losses["loss"] == pytest.approx(full.losses["loss"], rel=0.05)


def test_loss_that_cannot_be_compiled_is_computed_without(monkeypatch):
    def fail(batch, generator):
        raise torch._dynamo.exc.TorchDynamoException("no C++ compiler was found")

    monkeypatch.setattr(torch, "compile", lambda function: fail)
    plan = dataclasses.replace(PLAN, compile=True)
    with pytest.warns(CryoswayWarning, match=r"is not compiled.*no C\+\+ compiler was found"):
        compiled = train(plan, SineStep(), COUNT, None, CPU)
    assert compiled.losses == train(PLAN, SineStep(), COUNT, None, CPU).losses


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_compiled_loss_is_the_same(monkeypatch):
    """Traced as for compilation; the C++ compiler itself is left out, which takes its time."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))

    class Step(SineStep):
        def loss(self, batch, generator):
            x = batch["x"] + 0.1 * torch.randn(batch["x"].shape, generator=generator)
            residual = self.module.network(x) - batch["y"]
            return Losses(residual.square().mean(), {"y": batch["y"].mean()})

    plan = dataclasses.replace(PLAN, compile=True, epochs=1)
    compiled = train(plan, Step(), COUNT, None, CPU)
    plain = train(dataclasses.replace(PLAN, epochs=1), Step(), COUNT, None, CPU)
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-5)


def test_precision_is_a_decision(tmp_path):
    run_training(tmp_path, plan=dataclasses.replace(PLAN, precision="auto", epochs=1))
    (entry,) = read_json(tmp_path / "decisions.json")
    assert entry["what"] == "precision of training"
    assert entry["value"] in ("bf16", "float32")


def test_training_works_in_a_thread():
    results = []
    thread = threading.Thread(
        target=lambda: results.append(train(PLAN, SineStep(), COUNT, None, CPU))
    )
    thread.start()
    thread.join()
    assert results[0].steps == 48


def test_bad_plans_and_groups_are_explained():
    with pytest.raises(CryoswayError, match="batch_size must be 1 or more, not 0"):
        TrainingPlan(epochs=1, batch_size=0)
    step = SineStep()
    weights = list(step.module.network.parameters())
    step.parameter_groups = lambda: [ParameterGroup(weights), ParameterGroup(weights[:1])]
    with pytest.raises(CryoswayError, match="in one group"):
        train(PLAN, step, COUNT, None, CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_steps_on_a_gpu_do_not_wait_for_it(monkeypatch):
    """Nothing inside a step asks the device for a value; the result is the CPU's."""

    class Step(SineStep):
        def __init__(self):
            super().__init__(noise=0)
            self.module.cuda()

    take = _trainer.Trainer._take_step

    def take_watched(trainer, batch):
        torch.cuda.set_sync_debug_mode("error")
        try:
            take(trainer, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    step, twin = Step(), SineStep(noise=0)
    plan = dataclasses.replace(PLAN, metrics_steps=0)
    train(plan, step, COUNT, None, torch.device("cuda"))  # the first steps prepare libraries
    step = Step()
    monkeypatch.setattr(_trainer.Trainer, "_take_step", take_watched)
    train(plan, step, COUNT, None, torch.device("cuda"))
    train(plan, twin, COUNT, None, CPU)
    for ours, theirs in zip(step.module.parameters(), twin.module.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-4)
