"""Language models: folders become modules with the right pooling, or one line says why not."""

import json
import shutil

import pytest
import torch
import transformers

from sweeps.errors import ConfigError, ModelError
from sweeps.jobs import embed
from sweeps.jobs.context import Context
from sweeps.settings import Embed, ModelEntry, TaskEntry
from sweeps.tasks.registry import from_texts
from sweeps.zoo.load import load
from sweeps.zoo.registry import resolve_entry
from tests.doubles import language

DECODERS = ("gpt2", "llama")


def entry(path, **more):
    return resolve_entry(ModelEntry(name=path.name, source=f"transformers:{path}", **more))


@pytest.fixture
def task(tmp_path):
    return from_texts(TaskEntry(name="t", path=str(language.jsonl(tmp_path / "t.jsonl")), text="text"), seed=0)


def embedded(model, task, cache, **settings):
    """Features and probabilities of train and val, and the row."""
    context = Context(cache)
    job = embed.embed_job(model, task, {"batch": 7, **Embed().view("text"), **settings})
    row = embed.run(job, context)["features"][0]
    return embed.probes(job, context), row


def one_by_one(path, task, pooling, layers="last", factory=transformers.AutoModel):
    """Textbook: each text alone, so that there is no padding and no order to be wrong about."""
    from sweeps.tasks.texts import split_of

    model, words = factory.from_pretrained(path).eval(), transformers.AutoTokenizer.from_pretrained(path)
    rows = []
    for text in split_of(task, "train").texts:
        inputs = words(text, return_tensors="pt", return_token_type_ids=False)
        with torch.inference_mode():
            hidden = model(**inputs, output_hidden_states=True).hidden_states
        chosen = hidden[-1][0] if layers == "last" else torch.stack(hidden[1:]).mean(0)[0]
        rows.append({"cls": chosen[0], "last": chosen[-1], "mean": chosen.mean(0)}[pooling])
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "gpt2", "llama"])
@pytest.mark.parametrize(("pooling", "layers"), [("auto", "last"), ("mean", "mean"), ("last", "last")])
def test_features_are_those_of_each_text_alone(tmp_path, task, kind, pooling, layers):
    path = language.folder(tmp_path / kind, kind)
    probes, row = embedded(entry(path), task, tmp_path / "cache", pooling=pooling, layers=layers)
    wanted = {"auto": "last" if kind in DECODERS else "mean"}.get(pooling, pooling)
    assert torch.allclose(torch.as_tensor(probes["train"].features), one_by_one(path, task, wanted, layers), atol=1e-5)
    assert (row["dim"], row["head_classes"]) == (16, None)
    assert row["input_size"] == (33 if kind == "roberta" else 64)  # RoBERTa counts positions from padding + 1


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_the_best_layer_is_the_one_that_suits_the_training_split(tmp_path, task, kind):
    """By LogME on train, so labels of val have no say; fine-tuning reads the last layer, and a head stays as wide."""
    from dataclasses import replace

    from oracles.logme import logme

    path = language.folder(tmp_path / kind, kind)
    probes, row = embedded(entry(path), task, tmp_path / "cache", layers="best")
    model, layers = load(entry(path)), []
    examples = model.examples(task, "train", tmp_path / "cache")
    with torch.inference_mode():
        states = model.module.trunk(**examples[:], output_hidden_states=True).hidden_states[1:]
        layers = [model.module.pool(hidden, examples[:]["attention_mask"]) for hidden in states]
    onehot = torch.nn.functional.one_hot(examples.labels).double().numpy()
    best = max(range(2), key=lambda place: logme(layers[place].double().numpy(), onehot))
    assert row["layer"] == best + 1
    assert row["dim"] == probes["val"].features.shape[1] == 16
    assert torch.allclose(torch.as_tensor(probes["train"].features), layers[best], atol=1e-5)
    head = load(entry(path), classes=3, view={"layers": "best"}).module
    with torch.inference_mode():
        head.head.weight.normal_()
        assert torch.allclose(head(examples[:]), head.head(layers[-1]), atol=1e-5)
    jobs = [embed.embed_job(entry(path), replace(task), {"batch": 7, **Embed(layers=how).view("text")})
            for how in ("last", "mean", "best")]  # fmt: skip
    assert len({job.id for job in jobs}) == 3


def test_of_several_layers_the_last_wins_a_tie():
    same = torch.randn(12, 3)
    labels = torch.arange(12) % 2
    assert embed.best_layer([same, same], labels) == 1
    assert embed.best_layer([same, same], torch.zeros(12, dtype=torch.int64)) == 1
    told = torch.cat([same, 5 * labels[:, None].float()], dim=1)
    assert embed.best_layer([told, torch.cat([same, same[:, :1]], dim=1)], labels) == 0


def test_cls_is_the_first_token(tmp_path, task):
    path = language.folder(tmp_path / "bert", "bert")
    probes, _ = embedded(entry(path), task, tmp_path / "cache", pooling="cls")
    assert torch.allclose(torch.as_tensor(probes["train"].features), one_by_one(path, task, "cls"), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "pad"),
    [("bert", True), ("distilbert", True), ("roberta", True), ("gpt2", True), ("gpt2", False), ("llama", False)],
)
def test_the_checkpoint_s_own_classifier_gives_the_probabilities(tmp_path, task, kind, pad):
    """Also without a padding token: the last token of a text must be found all the same."""
    from sweeps.tasks.texts import split_of

    path = language.folder(tmp_path / kind, kind, classes=4, pad=pad)
    probes, row = embedded(entry(path), task, tmp_path / "cache", layers="mean")
    own = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    words = transformers.AutoTokenizer.from_pretrained(path)
    with torch.inference_mode():
        wanted = torch.cat([
            own(**words(text, return_tensors="pt", return_token_type_ids=False)).logits.softmax(1)
            for text in split_of(task, "train").texts
        ])  # fmt: skip
    assert torch.allclose(torch.as_tensor(probes["train"].source_probs), wanted, atol=1e-5)
    assert row["head_classes"] == 4
    pooling = "last" if kind in DECODERS else "mean"
    assert torch.allclose(torch.as_tensor(probes["train"].features), one_by_one(path, task, pooling, "mean"), atol=1e-5)


def test_an_encoder_decoder_is_its_encoder(tmp_path, task):
    path = language.folder(tmp_path / "t5", "t5")
    probes, row = embedded(entry(path), task, tmp_path / "cache")
    wanted = one_by_one(path, task, "mean", factory=transformers.T5EncoderModel)
    assert torch.allclose(torch.as_tensor(probes["train"].features), wanted, atol=1e-5)
    encoder = transformers.T5EncoderModel.from_pretrained(path)
    assert row["parameters"] == sum(value.numel() for value in encoder.parameters())


def test_a_pair_tells_the_second_text_by_its_segment(tmp_path):
    path = language.folder(tmp_path / "bert", "bert")
    file = language.jsonl(tmp_path / "p.jsonl")
    task = from_texts(TaskEntry(name="p", path=str(file), text="text", pair="second"), seed=0)
    loaded = load(entry(path))
    inputs = loaded.examples(task, "val", tmp_path / "cache")[torch.tensor([2, 0])]
    words = language.tokenizer()
    from sweeps.tasks.texts import split_of

    part = split_of(task, "val")
    wanted = words([part.texts[2], part.texts[0]], [part.pairs[2], part.pairs[0]], padding=True,
                   return_tensors="pt", return_token_type_ids=True)  # fmt: skip
    assert {name: value.tolist() for name, value in inputs.items()} == {
        name: wanted[name].tolist() for name in ("input_ids", "attention_mask", "token_type_ids")
    }


def test_batches_hold_texts_of_a_length_and_every_text_once(tmp_path, task):
    loaded = load(entry(language.folder(tmp_path / "bert", "bert")))
    examples = loaded.examples(task, "train", tmp_path / "cache")
    batches = list(examples.batches(8))
    assert sorted(torch.cat(batches).tolist()) == list(range(len(examples)))
    lengths = examples.tokens.lengths[torch.cat(batches).numpy()]
    assert (lengths[:-1] >= lengths[1:]).all()
    assert examples[batches[0]]["input_ids"].shape == (8, lengths[0])


def test_texts_are_cut_at_the_most_tokens(tmp_path, task):
    path = language.folder(tmp_path / "bert", "bert")
    for wanted, most in ((5, 5), (None, 64), (500, 64)):
        loaded = load(entry(path), view={"max_tokens": wanted})
        assert loaded.input_size == most
        assert loaded.examples(task, "train", tmp_path / "cache").tokens.lengths.max() <= most


def test_a_sentence_transformers_folder_gives_what_is_inside(tmp_path, task):
    root = tmp_path / "st"
    inside = language.folder(root / "0_Transformer", "bert")
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (inside / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 9}))
    (root / "modules.json").write_text(json.dumps([
        {"idx": 0, "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]))  # fmt: skip
    model = entry(root)
    loaded = load(model)
    assert (loaded.module.pooling, loaded.input_size, model.dim) == ("cls", 9, 16)
    assert load(model, view={"pooling": "mean"}).module.pooling == "mean"


def test_a_new_head_starts_at_zero_on_the_same_features(tmp_path, task):
    model = entry(language.folder(tmp_path / "bert", "bert", classes=4))
    loaded = load(model, classes=3)
    assert loaded.head.out_features == 3
    assert not any(parameter.any() for parameter in loaded.head.parameters())
    assert loaded.source is None
    assert loaded.parameters == load(model).parameters


def test_from_scratch_follows_the_seed(tmp_path):
    model = entry(language.folder(tmp_path / "bert", "bert"), pretrained=False)
    first, again, other = (load(model, seed=seed).module.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_weights_of_another_precision_are_read_as_float32(tmp_path):
    path = language.folder(tmp_path / "bert", "bert")
    transformers.AutoModel.from_pretrained(path, dtype=torch.bfloat16).save_pretrained(path)
    assert {value.dtype for value in load(entry(path)).module.parameters()} == {torch.float32}


def test_revision_follows_the_content_and_not_the_place(tmp_path):
    path = language.folder(tmp_path / "a" / "bert", "bert")
    shutil.copytree(path, tmp_path / "b" / "bert")
    one, two = entry(path), entry(tmp_path / "b" / "bert")
    assert one.content == two.content
    assert (one.modality, one.dim, one.family) == ("text", 16, "bert")
    other = language.folder(tmp_path / "c" / "bert", "bert", seed=1)
    assert entry(other).revision != one.revision


def remote(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"model_type": "mine", "auto_map": {"AutoModel": "m.Mine"}}))


def half(path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(path / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if "layer.1" not in name}
    save_file(kept, path / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (remote, "must be of an architecture that transformers knows, got one that needs code of its own repository"),
        (half, r"must have all its weights, got none for 'encoder\.layer\.1.* and 15 others"),
        (lambda path: [file.unlink() for file in path.glob("tokenizer*")], "the folder must hold a tokenizer"),
        (lambda path: (path / "config.json").write_text("{"), "must be readable JSON"),
        (lambda path: (path / "model.safetensors").write_bytes(b"nothing"), "must load from transformers:.*bert, got"),
    ],
    ids=["remote code", "weights missing", "no tokenizer", "config", "weights corrupt"],
)
def test_what_cannot_be_loaded_is_one_clear_line(tmp_path, spoil, says):
    path = language.folder(tmp_path / "bert", "bert")
    model = entry(path)
    spoil(path)
    with pytest.raises(ModelError, match=says) as caught:
        load(model)
    assert len(str(caught.value).splitlines()) == 1


def test_an_image_model_and_a_decoder_s_first_token_are_refused(tmp_path):
    with pytest.raises(ModelError, match="must read text, got the model type 'vit'"):
        load(entry(language.folder(tmp_path / "vit", "vit")))
    with pytest.raises(ModelError, match="is a decoder: pooling must be mean or last, got cls"):
        load(entry(language.folder(tmp_path / "gpt2", "gpt2")), view={"pooling": "cls"})


def test_a_token_that_the_model_does_not_know(tmp_path, task):
    path = language.folder(tmp_path / "bert", "bert")
    config = transformers.BertConfig.from_pretrained(path)
    config.vocab_size = 8
    transformers.BertModel(config).save_pretrained(path)
    with pytest.raises(ModelError, match=r"must know every token of its tokenizer, got token \d+ of 8"):
        embedded(entry(path), task, tmp_path / "cache")


def test_folders_and_ids_that_are_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"the folder must hold config\.json"):
        entry(tmp_path / "empty")
    path = language.folder(tmp_path / "bert", "bert")
    (path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"must hold \*\.safetensors or pytorch_model\*\.bin"):
        entry(path)
    with pytest.raises(ModelError, match="must be a folder or a model of the hub, got no answer for revision 'main'"):
        resolve_entry(ModelEntry(name="x", source="transformers:nobody/nothing"))
    with pytest.raises(ConfigError, match="source must be timm:<name>"):
        resolve_entry(ModelEntry(name="x", source="transformers:"))
    pinned = resolve_entry(ModelEntry(name="x", source="transformers:nobody/nothing", revision="0" * 40))
    assert pinned.content["source"] == "transformers:nobody/nothing"
    with pytest.raises(ModelError, match=r"must load from transformers:nobody/nothing, got .*no network"):
        load(pinned)


def test_the_embedded_language_zoo_is_read_from_its_folders(tmp_path, monkeypatch):
    """Cards say what is known; what they leave out is read from the folder."""
    from sweeps.zoo import cards, registry

    path = language.folder(tmp_path / "models" / "mini_bert.mlm", "bert")
    language.folder(tmp_path / "models" / "other", "gpt2")
    (tmp_path / "cards").mkdir()
    known = {"name": "mini_bert.mlm", "group": "architecture", "upstream": "all", "upstream_size": 7, "loss": "mlm"}
    (tmp_path / "cards" / "mini_bert.mlm.json").write_text(json.dumps(known))
    monkeypatch.setattr(cards, "TEXTS", tmp_path)
    monkeypatch.setattr(registry, "text_cards", cards.text_cards.__wrapped__)
    found = registry.embedded.__wrapped__()
    model = found["mini_bert.mlm"]
    assert (model.group, model.upstream, model.upstream_size, model.summary) == ("architecture", "all", 7, "mlm")
    assert (model.modality, model.dim, model.family) == ("text", 16, "bert")
    assert model.parameters == sum(value.numel() for value in transformers.AutoModel.from_pretrained(path).parameters())
    assert found["other"].family == "gpt2"
    assert load(model).module.pooling == "mean"


def test_the_embedded_text_tasks_are_read_from_their_package(tmp_path, monkeypatch):
    """A package with TASKS and draw: pairs as tuples, labels as numbers."""
    import sys
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    import numpy as np

    from sweeps.tasks import registry
    from sweeps.tasks.mini import Facts
    from sweeps.tasks.texts import split_of

    package = ModuleType(registry.TEXTS)
    package.__spec__ = ModuleSpec(registry.TEXTS, None)
    sizes = {"train": 6, "val": 4, "test": 4}
    package.TASKS = {name: Facts(name, "language", ("no", "yes"), sizes, "so") for name in ("text/one", "text/two")}
    package.draw = lambda name, seed: {
        split: ([f"good{i}" if name == "text/one" else (f"good{i}", "bad1 bad2") for i in range(size)],
                np.arange(size) % 2) for split, size in sizes.items()
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, registry.TEXTS, package)
    found = registry.embedded.__wrapped__()
    one, two = found["text/one"], found["text/two"]
    assert (one.modality, one.group, one.classes, dict(one.sizes)) == ("text", "language", ("no", "yes"), sizes)
    assert found["mini/digits"].modality == "image"
    assert split_of(one, "val").pairs is None
    assert split_of(two, "val").pairs == ["bad1 bad2"] * 4
    assert split_of(two, "val").labels.tolist() == [0, 1, 0, 1]
    loaded = load(entry(language.folder(tmp_path / "bert", "bert")))
    assert loaded.examples(two, "val", tmp_path / "cache")[:]["token_type_ids"].sum() == 4 * 3
