"""Zoos as files: every name is one that loads, every fact the appendix's or timm's, and filters leave what they say."""

import csv
import json

import pytest

from sweeps.config import SHELVES, load, parse, zoo
from sweeps.errors import ConfigError, DataError
from sweeps.settings import ModelEntry
from sweeps.types import Model
from sweeps.zoo.registry import chosen, listed, resolve, resolve_entry
from tests.conftest import DOUBLES, SHARED

SHIPPED = sorted(path.stem for path in SHELVES[0].glob("*.toml"))
PERMISSIVE = {"apache-2.0", "mit", "bsd-3-clause"}
APPENDIX = SHARED / "published" / "needle_zoo46.csv"


def sweep(tmp_path, text: str):
    path = tmp_path / "sweep.toml"
    path.write_text('name = "x"\ntasks = ["mini/cells"]\n' + text)
    return load(path)


def test_the_zoos_that_are_shipped():
    assert SHIPPED == ["language", "modern46", "needle46", "small-cpu"]
    assert {name: len(zoo(name).model) for name in SHIPPED} == {
        "language": 21, "modern46": 46, "needle46": 46, "small-cpu": 12}  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_entries_are_unique_and_permissive_and_say_where_they_come_from(name):
    entries = zoo(name).model
    assert len({entry.name for entry in entries}) == len(entries)
    assert len({(entry.source, str(entry.args)) for entry in entries}) == len(entries)
    assert {entry.licence for entry in entries} <= PERMISSIVE


def test_the_groups_of_the_study_are_in_both():
    def groups(name):
        found = [entry.group for entry in zoo(name).model]
        return [found.count(group) for group in dict.fromkeys(found)]

    assert groups("needle46") == [15, 16, 15]
    assert groups("modern46") == [15, 16, 15]


@pytest.mark.published
@pytest.mark.skipif(not APPENDIX.is_file(), reason="needs ../shared/published")
def test_the_facts_of_needle46_are_those_of_the_appendix():
    with open(APPENDIX, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = zoo("needle46")
    assert [entry.name for entry in found.model] == [row["model"] for row in rows]
    members = {name: set(pool.members(_facts(found.model))) for name, pool in found.pools.items()}
    pools = {"all": "pool_all", "dim2048": "pool_dim2048", "resnet50": "pool_resnet50", "expert": "pool_expert",
             "imagenet": "pool_imnet"}  # fmt: skip
    for row, entry in zip(rows, found.model, strict=True):
        assert (entry.group, entry.dim, entry.parameters) == (row["group"], int(row["dim"]), int(row["params"]))
        assert entry.upstream_accuracy == (float(row["imagenet_top1"]) if row["imagenet_top1"] else None)
        if entry.source.startswith("tf-hub:") and entry.substitute is None:
            assert row["tfhub_handle"].endswith(entry.source.removeprefix("tf-hub:"))
        for pool, column in pools.items():
            assert (entry.name in members[pool]) == (row[column] == "1")
    assert {name: len(names) for name, names in members.items()} == {
        "all": 46, "dim2048": 44, "resnet50": 37, "expert": 16, "imagenet": 15}  # fmt: skip


def _facts(entries):
    return [{"model": entry.name, **entry.model_dump(exclude={"name"})} for entry in entries]


def test_needle46_says_what_stands_for_what():
    entries = {entry.name: entry for entry in zoo("needle46").model}
    assert all(entries[name].substitute for name, entry in entries.items() if entry.group == "expert")
    originals = [name for name, entry in entries.items() if entry.substitute is None]
    assert len(originals) == 21  # eight networks of TF-Slim, nine of VTAB, four ports
    mapped = [entry for entry in entries.values() if entry.source.startswith("tf-hub:")]
    assert len(mapped) == 8 + 9 + 15


@pytest.mark.parametrize("name", ["modern46", "needle46", "small-cpu"])
def test_names_are_the_installed_timms(name):
    import timm

    known = set(timm.list_pretrained())
    for entry in zoo(name).model:
        kind, _, target = entry.source.partition(":")
        assert kind in ("timm", "tf-hub", "torchvision")
        if kind == "timm":
            assert target in known
            stated = timm.models.get_pretrained_cfg(target)
            assert stated.license == entry.licence
            assert stated.hf_hub_id
            if entry.substitute is None and name != "needle46":
                assert stated.input_size[-1] == entry.input_size


@pytest.mark.slow
@pytest.mark.parametrize("name", ["modern46", "small-cpu"])
def test_sizes_and_widths_are_timms(name):
    import timm
    import torch

    for entry in zoo(name).model:
        with torch.device("meta"):
            module = timm.create_model(entry.source.removeprefix("timm:"), num_classes=0)
        assert sum(parameter.numel() for parameter in module.parameters()) == entry.parameters
        assert getattr(module, "head_hidden_size", module.num_features) == entry.dim


def test_networks_and_weights_that_needle46_names_exist():
    from sweeps.zoo.foreign import torchvision_weights
    from sweeps.zoo.networks import NETWORKS

    for entry in zoo("needle46").model:
        if entry.source.startswith("tf-hub:"):
            assert entry.args["network"] in NETWORKS
        if entry.source.startswith("torchvision:"):
            assert torchvision_weights(entry.name, entry.source.partition(":")[2]).url


def test_a_sweep_takes_models_and_pools_from_a_zoo(tmp_path):
    config = sweep(tmp_path, 'zoo = "needle46"\nmodels = ["mini_mobilenet_v1.mininet"]\n')
    assert len(config.model) == 46
    assert config.models == ("mini_mobilenet_v1.mininet",)
    assert config.pools["resnet50"].max_parameters == 23_807_702
    own = sweep(tmp_path, 'zoo = "needle46"\n[pools.mine]\ngroups = ["expert"]\n')
    assert list(own.pools) == ["mine"]
    assert parse(config.model_dump(mode="json")) == config  # what is kept of a sweep needs the zoo's file no more


def test_a_zoo_of_ones_own_is_read_from_its_place(tmp_path):
    (tmp_path / "zoos").mkdir()
    (tmp_path / "zoos" / "mine.toml").write_text(
        'models = ["mini_mobilenet_v2.mininet"]\n'
        '[[model]]\nname = "t"\nsource = "factory:tiny:build"\npath = "src"\nsubstitute = "because"\nlicence = "mit"\n'
    )
    config = sweep(tmp_path, 'zoo = "zoos/mine.toml"\n')
    assert config.model[0].path == str(tmp_path / "zoos" / "src")
    models = resolve(config)
    assert [model.name for model in models] == ["mini_mobilenet_v2.mininet", "t"]
    assert models[1].substitute == "because"


@pytest.mark.parametrize(("text", "says"), [
    ('zoo = "modern64"', "did you mean 'modern46'"),
    ('zoo = "empty.toml"', "must hold at least one model"),
    ('zoo = "wrong.toml"', "did you mean 'licence'"),
    ('zoo = "broken.toml"', "must be valid TOML"),
    ('zoo = "folder"', "must hold folders with a config.json"),
])  # fmt: skip
def test_zoos_that_are_none(tmp_path, text, says):
    (tmp_path / "empty.toml").write_text('summary = "nothing"\n')
    (tmp_path / "wrong.toml").write_text('[[model]]\nname = "a"\nsource = "timm:resnet18"\nlicense = "mit"\n')
    (tmp_path / "broken.toml").write_text("[[model\n")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(ConfigError, match=says):
        sweep(tmp_path, text)


def model(name, **facts):
    return Model(name=name, source=f"timm:{name}", **facts)


MODELS = (
    model("a", parameters=5, dim=10, licence="mit", family="resnet", upstream="imagenet-1k", input_size=224),
    model("b", parameters=50, dim=20, licence="apache-2.0", family="vit", upstream="imagenet-21k", input_size=224),
    model("c", parameters=500, dim=30, licence="apache-2.0", family="vit_small", upstream="laion", input_size=384),
    model("d", licence="cc-by-nc-4.0"),
)


@pytest.mark.parametrize(("where", "left"), [
    ("parameters <= 50 and licence == 'apache-2.0'", "b"), ("licence != 'cc-by-nc-4.0'", "abc"),
    ("family = vit*", "bc"), ("dim <= 20", "ab"), ("input_size <= 224", "ab"), ("upstream = imagenet*", "ab"),
    ("parameters >= 0", "abc"),
])  # fmt: skip
def test_where_leaves_what_it_says(where, left):
    assert "".join(one.name for one in chosen(MODELS, where)) == left


def test_where_that_leaves_nothing_or_makes_no_sense(tmp_path):
    with pytest.raises(ConfigError, match="must leave at least one model, got none of 4"):
        chosen(MODELS, "parameters < 0")
    with pytest.raises(DataError, match="did you mean 'licence'"):
        chosen(MODELS, "license = mit")
    config = sweep(tmp_path, 'models = ["mini_*"]\nwhere = "group = expert and upstream_size >= 1000"\n')
    found = resolve(config)
    assert found
    assert {one.group for one in found} == {"expert"}


def test_a_folder_of_checkpoints_is_a_zoo(tmp_path):
    import timm

    module = timm.create_model("test_resnet.r160_in1k", num_classes=3)
    timm.models.save_for_hf(module, tmp_path / "zoo" / "net", model_config={"num_classes": 3}, safe_serialization=True)
    (tmp_path / "zoo" / "text").mkdir()
    (tmp_path / "zoo" / "text" / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
    (tmp_path / "zoo" / "text" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "zoo" / "other").mkdir()
    config = sweep(tmp_path, 'zoo = "zoo"\n')
    assert [entry.source.partition(":")[0] for entry in config.model] == ["local-dir", "transformers"]
    net, text = resolve(config)
    assert net.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert (text.modality, text.dim, text.family) == ("text", 8, "bert")
    assert [one.name for one in listed(str(tmp_path / "zoo"))] == ["net", "text"]


def test_facts_and_substitutes_are_no_part_of_what_is_measured():
    entry = ModelEntry(name="t", source="factory:tiny:build", path=str(DOUBLES))
    plain = resolve_entry(entry)
    told = resolve_entry(entry.model_copy(update={"substitute": "why", "licence": "mit", "input_size": 9}))
    assert told.substitute == "why"
    assert told.content == plain.content
