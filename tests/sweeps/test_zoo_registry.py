"""Names become models, with facts and the hash of their weights, or one line with the nearest right name."""

import json

import pytest

from sweeps.config import parse
from sweeps.errors import ConfigError, ModelError
from sweeps.settings import ModelEntry
from sweeps.zoo.cards import cards
from sweeps.zoo.mini.recipes import RECIPES
from sweeps.zoo.registry import SCRATCH, embedded, facts, resolve, resolve_entry
from tests.conftest import DOUBLES


def config(*names: str, **more):
    return parse({"name": "x", "models": list(names), "tasks": ["mini/cells"], **more})


def test_the_embedded_zoo_has_the_three_groups_and_a_baseline():
    # Of images those whose weights are shipped; that these are all 46 is test_mini_models' to say.
    images = [RECIPES[name].group for name in cards()]
    shipped = tuple(images.count(group) for group in ("architecture", "expert", "other"))
    assert all(low <= here <= high for low, here, high in zip((5, 8, 3), shipped, (15, 16, 15), strict=True))
    for modality, counts in (("image", shipped), ("text", (5, 5, 3))):
        groups = [model.group for model in embedded().values() if model.modality == modality]
        assert (groups.count("architecture"), groups.count("expert"), groups.count("other")) == counts
    assert [model.name for model in embedded().values() if model.group == "scratch"] == [SCRATCH]
    assert not embedded()[SCRATCH].pretrained
    for model in embedded().values():
        known = model.upstream_accuracy is not None
        # Of the texts, those that were supervised or ask for the next sentence have an accuracy of their own.
        assert known == (model.group == "architecture") or model.modality == "text"
        assert model.parameters > 0
        assert model.dim > 0


def test_patterns_keep_their_order_and_name_each_once():
    names = [model.name for model in resolve(config("*.expert_glyphs", "mini_*"))]
    assert names[0] == "mini_resnet_v2_50.expert_glyphs"
    assert len(names) == len(set(names)) == len(embedded())


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mini_resnet_v2_50.expert_glyph", "mini_resnet_v2_50.expert_glyphs"),
        ("resnet50.a1_in1kk", "resnet50.a1_in1k"),
        ("resnet5", "resnet"),
    ],
)
def test_unknown_names_get_a_hint(name, near):
    import sweeps.zoo.mini  # noqa: F401  registered with timm or not, a wrong tag is a wrong name

    with pytest.raises(ConfigError, match=f"did you mean '{near}"):
        resolve(config(name))


def test_timm_names_and_tags_are_known():
    models = resolve(config("resnet18", "resnet50.a1_in1k"))
    assert [model.source for model in models] == ["timm:resnet18", "timm:resnet50.a1_in1k"]


def test_twice_the_same_name():
    entry = {"name": SCRATCH, "source": "factory:tiny:build", "path": str(DOUBLES)}
    with pytest.raises(ConfigError, match="must be unique"):
        resolve(config("mini_*", model=[entry]))


def test_local_folders(tmp_path):
    import timm

    module = timm.create_model("resnet10t", num_classes=4)
    timm.models.save_for_hf(module, tmp_path / "w", model_config={"num_classes": 4}, safe_serialization=True)
    model = resolve_entry(ModelEntry(name="mine", source=f"local-dir:{tmp_path / 'w'}"))
    assert model.parameters == sum(p.numel() for p in module.parameters())
    saved = json.loads((tmp_path / "w" / "config.json").read_text())
    (tmp_path / "w" / "config.json").write_text(json.dumps(saved | {"global_pool": "max"}))
    changed = resolve_entry(ModelEntry(name="mine", source=f"local-dir:{tmp_path / 'w'}"))
    assert changed.revision != model.revision
    assert changed.content["source"] == "local-dir"
    (tmp_path / "w" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"must hold model\.safetensors"):
        resolve_entry(ModelEntry(name="mine", source=f"local-dir:{tmp_path / 'w'}"))


@pytest.mark.parametrize("source", ["hub:x", "factory:tiny", "timm:", "nonsense"])
def test_sources_of_no_known_form(source):
    with pytest.raises(ConfigError, match="source must be timm:<name>"):
        resolve_entry(ModelEntry(name="x", source=source))


def test_measured_facts_win():
    model = embedded()[SCRATCH]
    assert facts(model, {"parameters": 7, "dim": 8, "input_size": 9})["parameters"] == 7
    assert facts(model)["dim"] == model.dim
