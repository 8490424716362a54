"""Five tiny architectures built from timm's own classes and registered with timm, for 32 x 32 images.

Importing this module registers them, as importing any of timm's model modules does. What differs from timm's own
members of the families: few channels, few blocks, and a stem that halves the image once (timm's 7 x 7 stem with
pooling would leave 8 x 8 of a 32 x 32 image). Knows nothing about training.
"""

from functools import partial
from importlib import resources
from typing import Any

from timm.layers import BatchNormAct2d, create_conv2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from timm.models.efficientnet import _create_effnet
from timm.models.resnet import Bottleneck, ResNet
from timm.models.resnetv2 import ResNetV2
from torch import nn

from .recipes import RECIPES
from .world import classes

_CLASSIFIER = {"mini_resnet_v1": "fc", "mini_resnet_v2": "head.fc", "mini_mobilenet": "classifier"}
_FIRST_CONV = {"mini_resnet_v1": "conv1.0", "mini_resnet_v2": "stem.conv1", "mini_mobilenet": "conv_stem"}


def _cfg(name: str) -> dict[str, Any]:
    """timm's pretrained_cfg of one model of the zoo: where its weights lie and what images it wants."""
    recipe = RECIPES[name]
    family = next(family for family in _CLASSIFIER if name.startswith(family))
    return {
        "file": str(resources.files(__package__) / "weights" / f"{name}.safetensors"),
        "num_classes": len(classes(recipe.upstream)) if recipe.loss == "supervised" else 0,
        "input_size": (3, 32, 32),
        "pool_size": None,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "classifier": _CLASSIFIER[family],
        "first_conv": _FIRST_CONV[family],
        "license": "apache-2.0",
    }


default_cfgs = generate_default_cfgs({name: _cfg(name) for name in RECIPES})


class SmallResNet(ResNet):
    """timm's ResNet without the pooling behind its stem."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(stem_type="deep", stem_width=8, **kwargs)
        self.maxpool = nn.Identity()
        _halve_reductions(self.feature_info)


class SmallResNetV2(ResNetV2):
    """timm's pre-activation ResNet, with batch norm, without the pooling behind its stem."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(stem_type="deep", norm_layer=BatchNormAct2d, conv_layer=create_conv2d, **kwargs)
        self.stem.pool = nn.Identity()
        _halve_reductions(self.feature_info)


def _halve_reductions(feature_info: list[dict[str, Any]]) -> None:
    """Correct timm's notes on how far each stage shrinks the image, all but the stem's."""
    for stage in feature_info[1:]:
        stage["reduction"] //= 2


def _mobilenet(variant: str, blocks: list[list[str]], *, width: float, pretrained: bool, **kwargs: Any) -> nn.Module:
    defaults: dict[str, Any] = {
        "block_args": decode_arch_def(blocks),
        "stem_size": 32,
        "round_chs_fn": partial(round_channels, multiplier=width),
        "act_layer": nn.ReLU6,
    }
    if kwargs.get("features_only"):
        # timm's default asks for five scales; these have the stem's and one more per halving.
        halvings = sum("_s2_" in stage for (stage,) in blocks)
        kwargs.setdefault("out_indices", tuple(range(1 + halvings)))
    return _create_effnet(variant, pretrained, **(defaults | kwargs))


@register_model
def mini_resnet_v1_50(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Bottleneck ResNet, five blocks, 160 features."""
    body = {"block": Bottleneck, "layers": (1, 1, 2, 1), "channels": (8, 16, 24, 40)}
    return build_model_with_cfg(SmallResNet, "mini_resnet_v1_50", pretrained, **(body | kwargs))


@register_model
def mini_resnet_v1_101(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The deeper and wider bottleneck ResNet, eight blocks, 224 features."""
    body = {"block": Bottleneck, "layers": (1, 2, 4, 1), "channels": (8, 16, 32, 56)}
    return build_model_with_cfg(SmallResNet, "mini_resnet_v1_101", pretrained, **(body | kwargs))


@register_model
def mini_resnet_v2_50(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Pre-activation ResNet, five blocks, 128 features: the body of the experts and of the other losses."""
    body = {
        "layers": (1, 1, 2, 1), "channels": (16, 32, 64, 128), "stem_chs": 16, "basic": True, "bottle_ratio": 0.5,
    }  # fmt: skip
    return build_model_with_cfg(
        SmallResNetV2, "mini_resnet_v2_50", pretrained, feature_cfg={"flatten_sequential": True}, **(body | kwargs)
    )


@register_model
def mini_mobilenet_v1(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Depthwise separable blocks, 192 features."""
    blocks = [["dsa_r1_k3_s1_c64"], ["dsa_r2_k3_s2_c128"], ["dsa_r3_k3_s2_c256"], ["dsa_r1_k3_s2_c512"]]
    return _mobilenet("mini_mobilenet_v1", blocks, width=0.375, pretrained=pretrained, num_features=0, **kwargs)


@register_model
def mini_mobilenet_v2(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Inverted residual blocks, 112 features."""
    blocks = [["ds_r1_k3_s1_c16"], ["ir_r2_k3_s2_e4_c24"], ["ir_r2_k3_s2_e4_c48"], ["ir_r3_k3_s1_e4_c96"]]
    return _mobilenet("mini_mobilenet_v2", blocks, width=0.5, pretrained=pretrained, num_features=112, **kwargs)
