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

import sweeps.zoo.mini
from sweeps.zoo.cards import cards
from sweeps.zoo.mini import NAMES, world
from sweeps.zoo.mini.objectives import Supervised

FOLDER = resources.files("sweeps.zoo.mini")
IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)


def _weights(name: str):
    return FOLDER / "weights" / f"{name}.safetensors"


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", NAMES)
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


def test_the_zoo_has_the_studys_three_groups() -> None:
    groups = [card["group"] for card in cards().values()]
    assert groups.count("architecture") >= 5
    assert groups.count("expert") >= 6
    assert groups.count("other") == 3
    dims = {card["architecture"]: card["dim"] for card in cards().values()}
    assert len(set(dims.values())) == len(dims) >= 5
    assert all(48 <= dim <= 256 for dim in dims.values())
    experts = [card["recipe"] for card in cards().values() if card["group"] == "expert"]
    assert len({(recipe["steps"], recipe["batch"], recipe["rate"]) for recipe in experts}) == 1
    known = {name for name, card in cards().items() if card["upstream_accuracy"] is not None}
    assert known == {name for name, card in cards().items() if card["group"] == "architecture"}
    for card in cards().values():
        assert card["upstream_size"] == len(world.classes(card["upstream"])) * world.TRAIN_PER_CLASS


def test_the_accuracy_on_a_card_is_measured_again() -> None:
    name = "mini_mobilenet_v1.mininet"
    val = world.draw("mininet", "val", cards()[name]["recipe"]["world_seed"])
    model = timm.create_model(name, pretrained=True).to(memory_format=torch.channels_last).eval()
    again = Supervised(model).held_out(torch.from_numpy(val.pixels), torch.from_numpy(val.labels))
    assert again == pytest.approx(cards()[name]["upstream_accuracy"], abs=0.005)  # other kernels, other ties


def test_cards_need_neither_torch_nor_timm() -> None:
    code = (
        "import sys; from sweeps.zoo.cards import cards; assert len(cards()) == 16;"
        "print([p for p in ('torch', 'timm', 'PIL', 'matplotlib') if p in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_timm_knows_the_zoo_and_every_model_has_a_card() -> None:
    assert timm.is_model("mini_mobilenet_v2")
    assert set(cards()) == set(sweeps.zoo.mini.NAMES)
