"""Networks whose weights were published for TensorFlow: which timm architecture each one is, and what TensorFlow calls
its variables.

Every parameter and buffer of the timm module must have its variable, every variable its place, every shape must agree.
Where the two libraries build a network differently (where a block strides, padding, epsilon), the module is changed to
do what the original does.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import timm
import torch
from timm.layers import BatchNormAct2d, create_conv2d, create_pool2d
from timm.models.resnetv2 import PreActBottleneck
from torch import nn

from sweeps.errors import ModelError, did_you_mean

_SLIM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
# What a module carries besides the network: optimiser slots, averages beside the variables, the old classifier.
_BESIDE = re.compile(r"(^|/)(global_step|save_counter)$|/(Momentum|RMSProp(_\d)?|Adam(_\d)?|ExponentialMovingAverage)$"
                     r"|(^|/)([lL]ogits|AuxLogits|head|predictions)/")  # fmt: skip
Names = Callable[[list[str]], dict[str, str]]


@dataclass(frozen=True)
class Network:
    """A timm architecture with its changes, the names of its variables, and the pixels it was trained on.

    ``mean`` and ``std`` are for pixels in [0, 1]. ``biases``: pre-activation blocks with variables
    that timm has no place for.
    """

    architecture: str
    names: Names
    options: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[nn.Module], None] | None = None
    epsilon: float | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    biases: bool = False


def build(name: str, variables: Mapping[str, np.ndarray], where: str) -> nn.Module:
    """The timm module, without a classifier, that computes what the TensorFlow network computes.

    Args:
        name: a key of ``NETWORKS``.
        variables: name -> array, as :func:`sweeps.zoo.bundle.variables` reads them.
        where: named in messages.

    Raises:
        ModelError: for a variable that is missing, of another shape, or that has no place.
    """
    module = empty(name)
    network = NETWORKS[name]
    own = {key: value for key, value in module.state_dict().items() if not key.endswith("num_batches_tracked")}
    wanted = network.names(list(own))
    scoped = _scoped({re.sub(r"(standardized_conv2d)_\d+", r"\1", key.removesuffix(":0")): value
                      for key, value in variables.items()}, next(iter(wanted.values())), name, where)  # fmt: skip
    missing = [called for called in wanted.values() if called not in scoped]
    extra = _biases(wanted) if network.biases else {}
    missing += [called for called in extra.values() if called not in scoped]
    if missing:
        raise ModelError(f"{where} must hold every variable of {name}, got none for {len(missing)}, first {missing[0]}"
                         f"{did_you_mean(missing[0], scoped)}")  # fmt: skip
    left = [called for called in scoped if called not in {*wanted.values(), *extra.values()}]
    if left:
        raise ModelError(f"{where} must hold only variables of {name}, got {len(left)} others, first {left[0]}")
    state = {key: _placed(scoped[wanted[key]], wanted[key], tuple(own[key].shape), where) for key in own}
    if extra:
        _absorb(state, {key: scoped[called].astype(np.float64) for key, called in extra.items()})
    module.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=False)
    return module


def empty(name: str) -> nn.Module:
    """The timm module of a network, with random weights and without a classifier.

    Raises:
        ModelError: for a name that is not in the table.
    """
    if name not in NETWORKS:
        raise ModelError(f"network must be one that is mapped{did_you_mean(name, NETWORKS)}")
    network = NETWORKS[name]
    module = timm.create_model(network.architecture, num_classes=0, **network.options)
    if network.change is not None:
        network.change(module)
    if network.epsilon is not None:
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = network.epsilon
    module.pretrained_cfg = {**module.pretrained_cfg, "mean": network.mean, "std": network.std,
                             "interpolation": "bilinear", "crop_pct": 1.0, "input_size": (3, 224, 224)}  # fmt: skip
    return module


def _scoped(variables: Mapping[str, np.ndarray], first: str, name: str, where: str) -> dict[str, np.ndarray]:
    """The variables of the network under their names in it: the scope in front is whatever precedes the first one."""
    scopes = [key[: -len(first)] for key in variables if key == first or key.endswith(f"/{first}")]
    if not scopes:
        raise ModelError(f"{where} must hold a variable {first} as {name} does{did_you_mean(first, variables)}")
    scope = min(scopes, key=len)
    inside = {key.removeprefix(scope): value for key, value in variables.items() if key.startswith(scope)}
    outside = {key: value for key, value in variables.items() if not key.startswith(scope)}
    return {key: value for key, value in (inside | outside).items() if not _BESIDE.search(key)}


def _placed(array: np.ndarray, called: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """TensorFlow's [height, width, in, out] as torch's [out, in, height, width]; a depthwise kernel has its own."""
    found = array
    if array.ndim == 4 and len(shape) == 4:
        depthwise = called.endswith("depthwise_weights")
        found = array.transpose(2, 3, 0, 1) if depthwise else array.transpose(3, 2, 0, 1)
        if depthwise:
            found = found.reshape(-1, 1, *found.shape[2:])
    elif len(shape) == 1 and array.size == max(array.shape, default=1):
        found = array.reshape(-1)
    if found.shape != shape:
        raise ModelError(f"{where}: variable {called} must have the shape of torch's {list(shape)}, "
                         f"got {list(array.shape)}")  # fmt: skip
    return np.array(found, dtype=np.float32, order="C")


def _slim_resnet_v1(keys: list[str]) -> dict[str, str]:
    found = {}
    for key in keys:
        *place, layer, value = key.replace("downsample.0", "shortcut").replace("downsample.1", "bnshortcut").split(".")
        scope = f"block{place[0][5:]}/unit_{int(place[1]) + 1}/bottleneck_v1/" if place else ""
        if layer.startswith("bn"):
            called = layer.replace("bn", "" if layer == "bnshortcut" else "conv")
            found[key] = f"{scope}{called}/BatchNorm/{_SLIM[value]}"
        else:
            found[key] = f"{scope}{layer}/weights"
    return found


def _slim_resnet_v2(keys: list[str]) -> dict[str, str]:
    norms = {"norm1": "preact", "norm2": "conv1/BatchNorm", "norm3": "conv2/BatchNorm"}
    found = {}
    for key in keys:
        parts = key.split(".")
        value = parts[-1]
        if parts[0] == "stages":
            scope, layer = f"block{int(parts[1]) + 1}/unit_{int(parts[3]) + 1}/bottleneck_v2", parts[4]
            inside = f"{norms[layer]}/{_SLIM[value]}" if layer in norms else f"{layer}/weights"
            found[key] = f"{scope}/{inside.replace('downsample', 'shortcut')}"
        else:
            found[key] = f"postnorm/{_SLIM[value]}" if parts[0] == "norm" else "conv1/weights"
    return found


def _slim_mobilenet_v1(keys: list[str]) -> dict[str, str]:
    layers = {"conv_dw": "depthwise", "bn1": "depthwise", "conv_pw": "pointwise", "bn2": "pointwise"}
    found, blocks = {}, _numbered(keys)
    for key in keys:
        *place, layer, value = key.split(".")
        scope = f"Conv2d_{blocks[place[1], place[2]] + 1}_{layers[layer]}" if place else "Conv2d_0"
        found[key] = f"{scope}/{_slim_leaf(layer, value)}"
    return found


def _slim_mobilenet_v2(keys: list[str]) -> dict[str, str]:
    first = {"conv_dw": "depthwise", "bn1": "depthwise", "conv_pw": "project", "bn2": "project"}
    later = {"conv_pw": "expand", "bn1": "expand", "conv_dw": "depthwise", "bn2": "depthwise", "conv_pwl": "project",
             "bn3": "project"}  # fmt: skip
    found, blocks = {}, _numbered(keys)
    for key in keys:
        *place, layer, value = key.split(".")
        if place:
            number = blocks[place[1], place[2]]
            scope = f"expanded_conv_{number}/{later[layer]}" if number else f"expanded_conv/{first[layer]}"
        else:
            scope = "Conv" if layer in ("conv_stem", "bn1") else "Conv_1"
        found[key] = f"{scope}/{_slim_leaf(layer, value)}"
    return found


def _slim_leaf(layer: str, value: str) -> str:
    if layer.startswith("bn"):
        return f"BatchNorm/{_SLIM[value]}"
    return "depthwise_weights" if layer == "conv_dw" else "weights"


def _numbered(keys: list[str]) -> dict[tuple[str, str], int]:
    """(stage, block) of an efficientnet module -> how many blocks are before it."""
    blocks = dict.fromkeys((key.split(".")[1], key.split(".")[2]) for key in keys if key.startswith("blocks."))
    return {block: number for number, block in enumerate(blocks)}


def _vtab_resnet_v2(keys: list[str]) -> dict[str, str]:
    """TensorFlow numbers layers that were given no name in the order in which they were made: torch's order too."""
    found: dict[str, str] = {}
    counts = {"conv2d": -1, "batch_normalization": -1}
    for key in keys:
        layer, _, value = key.rpartition(".")
        kind = "batch_normalization" if layer.rpartition(".")[2].startswith("norm") else "conv2d"
        counts[kind] += kind == "conv2d" or value == "weight"
        called = f"{kind}_{counts[kind]}" if counts[kind] else kind
        found[key] = f"{called}/{_SLIM[value] if kind != 'conv2d' else 'kernel'}"
    return found


def _bit_resnet_v2(keys: list[str]) -> dict[str, str]:
    found = {}
    for key in keys:
        parts = key.split(".")
        value = {"weight": "gamma", "bias": "beta"}[parts[-1]]
        if parts[0] == "stages":
            scope, layer = f"block{int(parts[1]) + 1}/unit{int(parts[3]) + 1:02d}", parts[4]
            place = f"{scope}/a/proj" if layer == "downsample" else f"{scope}/{'abc'[int(layer[-1]) - 1]}"
            norm = layer.startswith("norm")
        else:
            place, norm = ("", True) if parts[0] == "norm" else ("root_block", False)
        found[key] = f"{place}/{f'group_norm/{value}' if norm else 'standardized_conv2d/kernel'}".removeprefix("/")
    return found


def _biases(wanted: Mapping[str, str]) -> dict[str, str]:
    """Kernel of timm's -> the bias that TF-Slim's pre-activation networks add after it."""
    ends = ("stem.conv.weight", "conv3.weight", "downsample.conv.weight")
    return {key: called.replace("weights", "biases") for key, called in wanted.items() if key.endswith(ends)}


def _absorb(state: dict[str, np.ndarray], biases: Mapping[str, np.ndarray]) -> None:
    """Take biases out of the sum that runs through pre-activation blocks: each normalisation that reads the sum expects
    a mean that is lower by what was left out so far. Pooling, strides and padding before it commute with a constant.
    """
    left_out = biases["stem.conv.weight"]
    for key in [key for key in state if key.endswith("norm1.running_mean")]:
        block = key.removesuffix("norm1.running_mean")
        state[key] = (state[key] - left_out).astype(np.float32)
        shortcut = biases.get(f"{block}downsample.conv.weight")
        left_out = (left_out if shortcut is None else shortcut) + biases[f"{block}conv3.weight"]
    state["norm.running_mean"] = (state["norm.running_mean"] - left_out).astype(np.float32)


class _LastUnit(PreActBottleneck):
    """A pre-activation block that strides without a projection: every second pixel of its input is the shortcut."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, c, h, w] -> [n, c, ceil(h / 2), ceil(w / 2)]."""
        inner = self.conv2(self.norm2(self.conv1(self.norm1(x))))
        return self.conv3(self.norm3(inner)) + x[:, :, ::2, ::2]


def _slim_strides_v1(module: Any) -> None:
    """TF-Slim strides in the last unit of the first three blocks, and pads as TensorFlow's SAME."""
    module.maxpool = create_pool2d("max", kernel_size=3, stride=2, padding="same")
    for number, blocks in enumerate((module.layer1, module.layer2, module.layer3, module.layer4)):
        if number:
            blocks[0].conv2.stride = blocks[0].downsample[0].stride = (1, 1)
        if number < 3:
            blocks[-1].conv2.stride, blocks[-1].downsample = (2, 2), nn.MaxPool2d(1, stride=2)


def _slim_strides_v2(module: Any) -> None:
    for number, stage in enumerate(module.stages):
        if number:
            stage.blocks[0].conv2.stride = stage.blocks[0].downsample.conv.stride = (1, 1)
        if number < 3:
            channels = stage.blocks[-1].conv3.out_channels
            stage.blocks[-1] = _LastUnit(channels, channels, stride=2, conv_layer=create_conv2d,
                                         norm_layer=BatchNormAct2d)  # fmt: skip


def _slim_v1(depth: int) -> Network:
    # Trained on pixels from 0 to 255 less these means.
    return Network(f"resnet{depth}", _slim_resnet_v1, change=_slim_strides_v1, epsilon=1e-5,
                   mean=(123.68 / 255, 116.78 / 255, 103.94 / 255), std=(1 / 255, 1 / 255, 1 / 255))  # fmt: skip


def _slim_v2(depth: int) -> Network:
    # timm names and builds the three alike; only the first has weights of its own there.
    return Network(f"resnetv2_{depth}", _slim_resnet_v2, {"stem_type": "same"}, _slim_strides_v2, 1e-5, biases=True)


NETWORKS: Mapping[str, Network] = {
    "slim/resnet_v1_50": _slim_v1(50),
    "slim/resnet_v1_101": _slim_v1(101),
    "slim/resnet_v1_152": _slim_v1(152),
    "slim/resnet_v2_50": _slim_v2(50),
    "slim/resnet_v2_101": _slim_v2(101),
    "slim/resnet_v2_152": _slim_v2(152),
    "slim/mobilenet_v1_100": Network("mobilenetv1_100", _slim_mobilenet_v1, {"pad_type": "same"}, epsilon=1e-3),
    "slim/mobilenet_v2_100": Network("mobilenetv2_100", _slim_mobilenet_v2, {"pad_type": "same"}, epsilon=1e-3),
    "vtab/resnet_v2_50": Network("resnetv2_50", _vtab_resnet_v2, {"stem_type": "fixed"}, epsilon=1e-3),
    "bit/resnet_v2_50x1": Network("resnetv2_50x1_bit", _bit_resnet_v2),
}
