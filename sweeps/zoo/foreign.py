"""Image models from elsewhere than timm: TF-Hub's variables in timm's networks, and torchvision's models.

Each comes with the ``pretrained_cfg`` by which timm describes preprocessing.
"""

from pathlib import Path
from typing import Any

import torch
import torchvision
from filelock import FileLock
from huggingface_hub import constants
from torch import nn

from sweeps.errors import ModelError, did_you_mean
from sweeps.types import Model
from sweeps.zoo import networks, tfhub
from sweeps.zoo.bundle import variables


def tf_hub(model: Model, classes: int | None) -> nn.Module:
    """A module of TF-Hub as timm's network, without a classifier or with a new one.

    Raises:
        ModelError: for an unknown network, or variables that cannot be had, are damaged or do not fit.
    """
    name = str(model.args.get("network"))
    if name not in networks.NETWORKS or len(model.args) > 1:
        raise ModelError(f"model {model.name!r}: args must be one network{did_you_mean(name, networks.NETWORKS)}")
    place = model.source.partition(":")[2]
    if model.pretrained:
        found = variables(tfhub.variables_of(model.name, tfhub.fetch(model.name, place)))
        module: Any = networks.build(name, found, f"model {model.name!r}: {place}")
    else:
        module = networks.empty(name)
    if classes is not None:
        module.reset_classifier(classes)
    return module


def from_torchvision(model: Model) -> nn.Module:
    """A model of torchvision with its own classifier: ``torchvision:<architecture>.<weights>``.

    Raises:
        ModelError: for a name or weights that torchvision does not know.
    """
    target = model.source.partition(":")[2]
    weights = torchvision_weights(model.name, target)
    folder = Path(torch.hub.get_dir())
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{target}.lock"):  # the other workers of this machine wait and find the file
        if model.pretrained and constants.is_offline_mode() and not torchvision_file(weights).is_file():
            raise ModelError(f"model {model.name!r}: {torchvision_file(weights)} must be there while offline "
                             "(HF_HUB_OFFLINE), got nothing; run once where there is a network")  # fmt: skip
        given_weights = weights if model.pretrained else None
        module = torchvision.models.get_model(target.partition(".")[0], weights=given_weights, **model.args)
    given: Any = weights.transforms()
    side = given.crop_size[0]
    module.pretrained_cfg = {
        "input_size": (3, side, side), "crop_pct": side / given.resize_size[0], "mean": tuple(given.mean),
        "std": tuple(given.std), "interpolation": given.interpolation.value,
    }  # fmt: skip
    return module


def torchvision_file(weights: Any) -> Path:
    """Where torch keeps a file of weights once it is downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def torchvision_weights(name: str, target: str) -> Any:
    """torchvision's entry of weights: their address, size and preprocessing.

    Raises:
        ModelError: for a name or weights that torchvision does not know.
    """
    architecture, _, tag = target.partition(".")
    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        raise ModelError(f"model {name!r}: torchvision must know the architecture{did_you_mean(architecture, known)}")
    tags = torchvision.models.get_model_weights(architecture)
    if tag not in tags.__members__:
        raise ModelError(f"model {name!r}: torchvision must know the weights{did_you_mean(tag, tags.__members__)}")
    return tags[tag]
