"""Pre-training: same seed same bytes, an honest card, refusal of unknown names."""

import dataclasses
import hashlib
import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from sweeps.zoo.mini.pretrain import learning_rate, pretrain
from sweeps.zoo.mini.recipes import RECIPES

NAME = "mini_resnet_v2_50.expert_shapes"


def _tiny(name: str):
    return dataclasses.replace(RECIPES[name], steps=3, batch=16, per_class=6)


def test_same_seed_same_bytes_whatever_ran_before(tmp_path: Path) -> None:
    first = pretrain(NAME, tmp_path / "a", seed=1, recipe=_tiny(NAME))
    torch.rand(7)
    threads = torch.get_num_threads()
    again = pretrain(NAME, tmp_path / "b", seed=1, recipe=_tiny(NAME))
    other = pretrain(NAME, tmp_path / "c", seed=2, recipe=_tiny(NAME))
    assert torch.get_num_threads() == threads
    one, two, three = ((tmp_path / folder / f"{NAME}.safetensors").read_bytes() for folder in "abc")
    assert one == two != three
    assert first["sha256"] == again["sha256"] == hashlib.sha256(one).hexdigest() != other["sha256"]
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}


@pytest.mark.parametrize("name", ["mini_mobilenet_v1.mininet", "mini_resnet_v2_50.vae", "mini_resnet_v2_50.rotation",
                                  "mini_resnet_v2_50.semi_exemplar_10", "mini_biggan.cond"])  # fmt: skip
def test_the_card_tells_what_was_done(name: str, tmp_path: Path) -> None:
    card = pretrain(name, tmp_path, seed=0, recipe=_tiny(name))
    assert json.loads((tmp_path / f"{name}.json").read_text()) == card
    assert math.isfinite(card["final_loss"])
    assert card["upstream_size"] == 6 * 40
    assert card["recipe"]["steps"] == 3
    assert card["licence"] == "apache-2.0"
    assert 0 <= card["own_accuracy"] <= 1
    assert card["upstream_accuracy"] == (card["own_accuracy"] if card["group"] == "architecture" else None)
    assert card["upstream_classes"] == (40 if card["loss"] == "supervised" else None)


def test_the_rate_warms_up_and_ends_near_zero() -> None:
    rates = [learning_rate(step, 100, 0.2) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert max(rates) == pytest.approx(0.2)
    assert rates[0] == pytest.approx(0.02)
    assert rates[-1] < 0.001
    assert all(b < a for a, b in pairwise(rates[10:]))


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name must be one of"):
        pretrain("mini_resnet_v2_50.expert_ships", tmp_path, seed=0)
