"""Checkpoints open whatever names their tensors have, and say what is wrong with them."""

import importlib.metadata
import json
import pickle

import pytest
import torch

from cryosway import CryoswayError
from cryosway.protein import _checkpoint as checkpoints
from cryosway.protein import convert_weights, load_network, open_checkpoint

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")


def open_network(folder, **options):
    return load_network(open_checkpoint(folder), transformers.EsmForMaskedLM, **options)


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(folder, change):
    from safetensors.torch import load_file, save_file

    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def logits_of(network):
    tokens = torch.tensor([[0, 20, 15, 4, 32, 6, 2]])
    with torch.inference_mode():
        return network(tokens, attention_mask=torch.ones_like(tokens)).logits


def test_old_and_new_names_give_the_same_network(tmp_path, write_language_checkpoint):
    new = open_network(write_language_checkpoint(tmp_path / "new"))
    old = open_network(write_language_checkpoint(tmp_path / "old", old_names=True))
    assert torch.equal(logits_of(new), logits_of(old))
    assert not new.training


def test_rotary_frequencies_are_those_of_the_file(tmp_path, write_language_checkpoint):
    folder = write_language_checkpoint(tmp_path / "old", old_names=True)
    change = lambda tensors: {n: x * 0.9 if "inv_freq" in n else x for n, x in tensors.items()}  # noqa: E731
    edit_tensors(folder, change)
    frequencies = open_network(folder).esm.rotary_embeddings.inv_freq
    assert float(frequencies[0]) == pytest.approx(0.9)


def test_absent_rotary_frequencies_follow_from_the_configuration(
    tmp_path, write_language_checkpoint
):
    whole = open_network(write_language_checkpoint(tmp_path / "whole"))
    absent = ("esm.rotary_embeddings.inv_freq",)
    bare = open_network(write_language_checkpoint(tmp_path / "bare", leave_out=absent))
    assert torch.equal(logits_of(whole), logits_of(bare))


def test_missing_tensors_are_named(tmp_path, write_language_checkpoint):
    absent = "esm.encoder.layer.1.intermediate.dense.weight"
    folder = write_language_checkpoint(tmp_path / "c", leave_out=(absent,))
    with pytest.raises(CryoswayError, match=rf"lacks 1 tensors of an ESM-2.*{absent}"):
        open_network(folder)
    assert open_network(folder, may_lack=("intermediate",)) is not None


def test_tensors_of_another_size_are_named(tmp_path, write_language_checkpoint):
    folder = write_language_checkpoint(tmp_path / "c")
    edit_config(folder, intermediate_size=64)
    with pytest.raises(CryoswayError, match=r"shapes of \d+ tensors are not those of config"):
        open_network(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "bert"}, r"another architecture \(bert\); needed is an ESM-2 language"),
        ({"is_folding_model": True}, "is an ESMFold model; needed is an ESM-2"),
        ({"position_embedding_type": "absolute"}, "first generation"),
    ],
)
def test_other_architectures_are_refused(tmp_path, write_language_checkpoint, changes, said):
    folder = write_language_checkpoint(tmp_path / "c")
    edit_config(folder, **changes)
    with pytest.raises(CryoswayError, match=said):
        open_checkpoint(folder)


def test_a_language_model_does_not_fold(language_checkpoint):
    with pytest.raises(CryoswayError, match="without the folding part; needed is an ESMFold"):
        open_checkpoint(language_checkpoint, "folding")


def test_what_is_no_checkpoint(tmp_path, write_language_checkpoint):
    with pytest.raises(CryoswayError, match=r"no folder .*nowhere.*--fetch"):
        open_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CryoswayError, match=r"has no config\.json; expected are"):
        open_checkpoint(tmp_path)
    folder = write_language_checkpoint(tmp_path / "c")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(CryoswayError, match="is cut short"):
        open_checkpoint(folder)
    weights.write_bytes(b"not a header at all")
    with pytest.raises(CryoswayError, match="no safetensors file"):
        open_checkpoint(folder)
    weights.unlink()
    with pytest.raises(CryoswayError, match=r"model\.safetensors is missing"):
        open_checkpoint(folder)
    with pytest.raises(CryoswayError, match=r"is a file; give the folder"):
        open_checkpoint(folder / "config.json")


def test_a_name_is_fetched_only_when_asked_for(monkeypatch):
    asked = []

    def look_up(name, *, local_files_only, **_):
        asked.append(local_files_only)
        raise OSError("no connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", look_up)
    with pytest.raises(CryoswayError, match="from the Hugging Face hub, give --fetch"):
        open_checkpoint("facebook/esm2_t6_8M_UR50D")
    with pytest.raises(CryoswayError, match=r"cannot be fetched .*\(no connection\)"):
        open_checkpoint("facebook/esm2_t6_8M_UR50D", fetch=True)
    assert asked == [True, False]


def test_weights_in_several_files(tmp_path, write_language_checkpoint):
    from safetensors.torch import load_file, save_file

    folder = write_language_checkpoint(tmp_path / "c")
    whole = logits_of(open_network(folder))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {name: f"model-{1 + n % 2:05d}-of-00002.safetensors" for n, name in enumerate(names)}
    for file in set(places.values()):
        part = {name: tensors[name] for name in names if places[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(logits_of(open_network(folder)), whole)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CryoswayError, match="lacks model-00002-of-00002"):
        open_checkpoint(folder)


def test_pickled_weights_are_refused_and_converted(tmp_path, write_language_checkpoint):
    from safetensors.torch import load_file

    folder = write_language_checkpoint(tmp_path / "c")
    whole = logits_of(open_network(folder))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CryoswayError, match=r"pytorch_model\.bin\), which can run code.*convert_w"):
        open_checkpoint(folder)
    convert_weights(folder / "pytorch_model.bin")
    assert torch.equal(logits_of(open_network(folder)), whole)


class Attack:
    def __reduce__(self):
        return (exec, ("open('attacked', 'w').close()",))


def test_a_malicious_pickle_is_not_run(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps({"weight": Attack()}, protocol=2))
    with pytest.raises(CryoswayError):
        convert_weights(path)
    assert not (tmp_path / "attacked").exists()


def test_the_fingerprint_follows_the_weights(tmp_path, write_language_checkpoint):
    first = open_checkpoint(write_language_checkpoint(tmp_path / "a"))
    twin = open_checkpoint(write_language_checkpoint(tmp_path / "b"))
    other = open_checkpoint(write_language_checkpoint(tmp_path / "c", seed=1))
    assert first.fingerprint() == twin.fingerprint() != other.fingerprint()


def test_old_releases_of_transformers_are_refused(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.2.0")
    with pytest.raises(CryoswayError, match=r"5\.2\.0 computes wrong logits for padded batches"):
        checkpoints.require_transformers()


def test_what_to_install_is_told_before_anything_is_opened(tmp_path, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    with pytest.raises(CryoswayError, match=r"pip install 'cryosway\[protein\]'"):
        open_checkpoint(tmp_path)
