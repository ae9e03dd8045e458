"""train: learns what there is to learn, goes on exactly, alone or with others."""

import json

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway.cli._processes import run_processes
from cryosway.engine import TimeLimitError, load_tensors
from cryosway.protein import load_network, open_checkpoint

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")

OPTIONS = {
    "size": "150K", "batch_tokens": 565, "crop": 40, "learning_rate": 3e-3, "warmup": 5,
    "held_out": 0.2, "clusters": "none", "precision": "float32", "loader_threads": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    """Sequences in which every residue follows from its neighbours: ACDEFGACDEFG… from anywhere."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("fasta") / "s.fasta"
    texts = [("ACDEFG" * 12)[rng.integers(6) :][: rng.integers(25, 50)] for _ in range(60)]
    path.write_text("".join(f">s{n}\n{text}\n" for n, text in enumerate(texts)))
    return path


def train(fasta, out, **options):
    settings = {**OPTIONS, "threads": 1, **options}
    return cs.train_language_model(fasta, out, **settings)


def weights_of(job):
    return load_tensors(job.path / "model" / "model.safetensors")[0]


def test_neighbours_are_learnt_and_the_checkpoint_opens(tmp_path, fasta):
    job = train(fasta, tmp_path / "out", steps=120, validate_every=60)
    course = json.loads((job.path / "validation.json").read_text())
    assert [row["step"] for row in course] == [60, 120]
    assert 5.5 < course[0]["unigram_perplexity"] < 6.5
    assert course[1]["perplexity"] < 0.5 * course[1]["unigram_perplexity"]
    assert job.info["language_model"]["perplexity"] == course[1]["perplexity"]
    assert (job.path / "figures" / "perplexity.png").stat().st_size > 5000
    network = load_network(
        open_checkpoint(job.path / "model"), transformers.EsmForMaskedLM, may_lack=("contact_head",)
    )
    tokenizer = transformers.EsmTokenizer(str(job.path / "model" / "vocab.txt"))
    row = tokenizer("ACDEFGACD<mask>FGACDEFG", return_tensors="pt")
    with torch.inference_mode():
        guessed = network(**row).logits[0, 10].argmax()
    assert tokenizer.convert_ids_to_tokens(int(guessed)) == "E"


def test_a_stopped_run_goes_on_exactly(tmp_path, fasta, monkeypatch):
    whole = train(fasta, tmp_path / "whole", steps=12, validate_every=6)
    from cryosway.engine._training_record import TrainingRecord

    look, steps = TrainingRecord.add, []

    def stop_at_nine(self, *arguments):
        steps.append(1)
        look(self, *arguments)
        if len(steps) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRecord, "add", stop_at_nine)
    with pytest.raises(KeyboardInterrupt):
        train(fasta, tmp_path / "out", steps=12, validate_every=6)
    job = train(fasta, tmp_path / "out", steps=12, validate_every=6)
    for name, tensor in weights_of(whole).items():
        torch.testing.assert_close(weights_of(job)[name], tensor, rtol=1e-6, atol=1e-8)
    files = [json.loads((j.path / "validation.json").read_text()) for j in (whole, job)]
    assert [row["perplexity"] for row in files[1]] == pytest.approx(
        [row["perplexity"] for row in files[0]], rel=1e-6
    )


def test_a_time_limit_is_kept(tmp_path, fasta):
    with pytest.raises(TimeLimitError, match="the same command goes on"):
        train(fasta, tmp_path / "out", steps=500, time_limit=1e-6)


@pytest.mark.parametrize("pieces", [(), ("--shard-weights", "--recompute")])
def test_two_processes_give_what_one_gives(tmp_path, fasta, pieces):
    """Sharing batches; or the weights as well, each process holding a piece of them."""
    alone = train(fasta, tmp_path / "one", steps=6, validate_every=3)
    options = [
        word
        for name, value in OPTIONS.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    arguments = [
        "protein", "train", str(fasta), "--out", str(tmp_path / "two"), *options, "--steps", "6",
        "--validate-every", "3", "--threads", "1", "--device", "cpu", *pieces,
    ]  # fmt: skip
    assert run_processes(arguments, 2) == 0
    together = cs.open_job(tmp_path / "two")
    for name, tensor in weights_of(alone).items():
        torch.testing.assert_close(weights_of(together)[name], tensor, rtol=1e-4, atol=1e-5)
    assert together.info["language_model"]["perplexity"] == pytest.approx(
        alone.info["language_model"]["perplexity"], rel=1e-5
    )


def test_training_goes_on_from_a_checkpoint(tmp_path, fasta, language_checkpoint):
    job = train(fasta, tmp_path / "out", start=language_checkpoint, steps=2, learning_rate=1e-7)
    before = load_network(open_checkpoint(language_checkpoint), transformers.EsmForMaskedLM)
    name = "esm.encoder.layer.1.output.dense.weight"
    assert torch.allclose(weights_of(job)[name], before.state_dict()[name], atol=1e-5)
    assert open_checkpoint(job.path / "model").layers == 2


def test_pieces_need_processes(tmp_path, fasta):
    with pytest.raises(cs.CryoswayError, match="shard_weights needs several processes"):
        train(fasta, tmp_path / "out", steps=2, shard_weights=True)
