"""Every shipped model loads by timm's own path and is what its card says."""

import hashlib
import subprocess
import sys
from importlib import resources

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.data import resolve_model_data_config

from sweeps.config import load
from sweeps.settings import Pool
from sweeps.zoo import registry
from sweeps.zoo.cards import cards
from sweeps.zoo.mini import NAMES, world
from sweeps.zoo.mini.labelled import Supervised
from sweeps.zoo.mini.recipes import RECIPES
from tests.conftest import ROOT

FOLDER = resources.files("sweeps.zoo.mini")
FULL = "ray_configs/sweeps/mini46_full.toml"
IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)


def _weights(name: str):
    return FOLDER / "weights" / f"{name}.safetensors"


@pytest.mark.parametrize("name", cards())
def test_a_shipped_model_is_what_its_card_says(name: str) -> None:
    card, model = cards()[name], timm.create_model(name, pretrained=True).eval()
    head = sum(p.numel() for p in model.get_classifier().parameters())
    assert sum(p.numel() for p in model.parameters()) - head == card["parameters"]
    assert model.num_features == card["dim"]
    assert hashlib.sha256(_weights(name).read_bytes()).hexdigest() == card["sha256"]
    assert f"{card['architecture']}.{card['tag']}" == card["name"] == name
    stored = load_file(str(_weights(name)))
    assert stored.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, stored[key].to(value.dtype), rtol=0, atol=0)
    supervised = card["loss"] == "supervised"
    assert (card["upstream_classes"] is not None) == supervised
    assert model(IMAGES).shape == (2, card["upstream_classes"] if supervised else card["dim"])


@pytest.mark.parametrize("name", cards())
def test_heads_are_replaced_and_bodies_kept(name: str) -> None:
    bare, fresh = (timm.create_model(name, pretrained=True, num_classes=k).eval() for k in (0, 5))
    features = bare(IMAGES)
    assert features.shape == (2, cards()[name]["dim"])
    assert fresh(IMAGES).shape == (2, 5)
    torch.testing.assert_close(fresh.forward_head(fresh.forward_features(IMAGES), pre_logits=True), features)


@pytest.mark.parametrize("name", sorted({name.split(".")[0] for name in NAMES}))
def test_an_architecture_takes_small_images_and_tells_its_strides(name: str) -> None:
    model = timm.create_model(name, pretrained=False)
    config = resolve_model_data_config(model)
    assert config["input_size"] == (3, 32, 32)
    assert config["crop_pct"] == 1.0
    assert config["interpolation"] == "bilinear"
    assert config["mean"] == config["std"] == (0.5, 0.5, 0.5)
    taps = timm.create_model(name, features_only=True).eval()
    for tap, reduction, channels in zip(
        taps(IMAGES), taps.feature_info.reduction(), taps.feature_info.channels(), strict=True
    ):
        assert tap.shape == (2, channels, 32 // reduction, 32 // reduction)


def test_grey_images_work_too() -> None:
    colour = timm.create_model("mini_resnet_v2_50.mininet", pretrained=True, num_classes=0).eval()
    grey = timm.create_model("mini_resnet_v2_50.mininet", pretrained=True, num_classes=0, in_chans=1).eval()
    # timm sums the first convolution over the colours, so one grey channel gives what three alike gave, up to the
    # rounding of a sum kept in half precision.
    expected = colour(IMAGES[:, :1].expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey(IMAGES[:, :1]), expected, rtol=0, atol=0.01 * float(expected.detach().std()))


@pytest.fixture(scope="module")
def facts() -> list[dict]:
    """Every model of the recipes as a row of the ``models`` table, weights or not."""
    rows = []
    for name, recipe in RECIPES.items():
        body = timm.create_model(name.split(".")[0], num_classes=0)
        rows.append({
            "model": name, "group": recipe.group, "family": name.split(".")[0], "dim": body.num_features,
            "parameters": sum(p.numel() for p in body.parameters()),
        })  # fmt: skip
    return rows


def test_the_zoo_has_the_studys_three_groups(facts: list[dict]) -> None:
    groups = [row["group"] for row in facts]
    assert [groups.count(group) for group in ("architecture", "expert", "other")] == [15, 16, 15]
    dims = {row["family"]: row["dim"] for row in facts}
    assert len(set(dims.values())) == len(dims) == 16
    assert all(90 <= dim <= 288 for dim in dims.values())
    assert all(28_000 <= row["parameters"] <= 250_000 for row in facts)
    experts = [recipe for recipe in RECIPES.values() if recipe.group == "expert"]
    assert len({(recipe.steps, recipe.batch, recipe.rate) for recipe in experts}) == 1
    assert len({recipe.upstream for recipe in experts}) == 16
    others = [recipe for recipe in RECIPES.values() if recipe.group == "other"]
    assert len({recipe.loss for recipe in others}) == 15
    assert {recipe.upstream for recipe in RECIPES.values() if recipe.group != "expert"} == {"mininet"}


def test_the_studys_pools_come_out_by_its_predicates_at_scale(facts: list[dict]) -> None:
    pools = {name: set(pool.members(facts)) for name, pool in load(ROOT / FULL).pools.items()}
    assert {name: len(members) for name, members in pools.items()} == {
        "all": 46, "dim2048": 44, "resnet50": 37, "expert": 16, "imagenet": 15}  # fmt: skip
    assert pools["expert"] < pools["resnet50"] < pools["dim2048"] < pools["all"]
    # Who is left out is who is left out of the study's.
    assert {name.split(".")[0] for name in pools["all"] - pools["dim2048"]} == {
        "mini_nasnet_large", "mini_pnasnet_large"}  # fmt: skip
    assert {name.split(".")[0] for name in pools["dim2048"] - pools["resnet50"]} == {
        "mini_inception_resnet_v2", "mini_resnet_v1_101", "mini_resnet_v1_152", "mini_resnet_v2_101",
        "mini_resnet_v2_152", "mini_biggan"}  # fmt: skip
    # Without its second condition one more would be in: docs/embedded-zoo.md says so.
    small = Pool(max_parameters=197_992).members(facts)
    assert set(small) - pools["resnet50"] == {"mini_resnet_v1_101.mininet"}


def test_cards_tell_the_group_and_the_upstream_set() -> None:
    for name, card in cards().items():
        assert card["group"] == RECIPES[name].group
        assert (card["upstream_accuracy"] is not None) == (card["group"] == "architecture")
        assert card["upstream_size"] == len(world.classes(card["upstream"])) * world.TRAIN_PER_CLASS
        assert registry.embedded()[name].released is not None


def test_the_accuracy_on_a_card_is_measured_again() -> None:
    name = "mini_mobilenet_v1.mininet"
    val = world.draw("mininet", "val", cards()[name]["recipe"]["world_seed"])
    model = timm.create_model(name, pretrained=True).to(memory_format=torch.channels_last).eval()
    again = Supervised(model).held_out(torch.from_numpy(val.pixels), torch.from_numpy(val.labels))
    assert again == pytest.approx(cards()[name]["upstream_accuracy"], abs=0.005)  # other kernels, other ties


def test_cards_need_neither_torch_nor_timm() -> None:
    code = (
        "import sys; from sweeps.zoo.cards import cards; assert cards();"
        "print([p for p in ('torch', 'timm', 'PIL', 'matplotlib') if p in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_timm_knows_the_zoo_and_every_model_has_a_card() -> None:
    assert timm.is_model("mini_mobilenet_v2")
    assert set(cards()) == set(NAMES)
