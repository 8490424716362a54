"""Sixteen tiny architectures registered with timm, for 32 x 32 images: the study's fifteen, and a discriminator.

Importing this module registers them, as importing any of timm's model modules does. Built from timm's own classes
where these take their widths as arguments. What differs from timm's own members of the families: few channels, few
blocks, and a stem that halves the image once (timm's 7 x 7 stem with pooling would leave 8 x 8 of a 32 x 32 image).
Knows nothing about training.
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

from .inception import SmallInception
from .recipes import RECIPES
from .searched import SmallNASNet, SmallPNASNet
from .world import classes

# Family -> its classifier and its first convolution.
_ENDS = {
    "mini_resnet_v1": ("fc", "conv1.0"),
    "mini_resnet_v2": ("head.fc", "stem.conv1"),
    "mini_biggan": ("head.fc", "stem.conv1"),
    "mini_mobilenet": ("classifier", "conv_stem"),
    "mini_inception": ("fc", "stem.conv"),
    "mini_nasnet": ("fc", "stem.0.conv"),
    "mini_pnasnet": ("fc", "stem.0.conv"),
}


def _cfg(name: str) -> dict[str, Any]:
    """timm's pretrained_cfg of one model of the zoo: where its weights lie and what images it wants."""
    recipe = RECIPES[name]
    classifier, first_conv = next(ends for family, ends in _ENDS.items() if name.startswith(family))
    return {
        "file": str(resources.files(__package__) / "weights" / f"{name}.safetensors"),
        "num_classes": len(classes(recipe.upstream)) if recipe.loss == "supervised" else 0,
        "input_size": (3, 32, 32),
        "pool_size": None,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "classifier": classifier,
        "first_conv": first_conv,
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
def mini_resnet_v1_152(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The deepest bottleneck ResNet, eleven blocks, 208 features."""
    body = {"block": Bottleneck, "layers": (1, 3, 6, 1), "channels": (8, 16, 32, 52)}
    return build_model_with_cfg(SmallResNet, "mini_resnet_v1_152", pretrained, **(body | kwargs))


def _resnet_v2(variant: str, layers: tuple[int, ...], channels: tuple[int, ...], pretrained: bool,
               kwargs: dict[str, Any]) -> nn.Module:  # fmt: skip
    body = {"layers": layers, "channels": channels, "stem_chs": 16, "basic": True, "bottle_ratio": 0.5}
    return build_model_with_cfg(
        SmallResNetV2, variant, pretrained, feature_cfg={"flatten_sequential": True}, **(body | kwargs)
    )


@register_model
def mini_resnet_v2_50(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Pre-activation ResNet, five blocks, 128 features: the body of the experts and of the other losses."""
    return _resnet_v2("mini_resnet_v2_50", (1, 1, 2, 1), (16, 32, 64, 128), pretrained, kwargs)


@register_model
def mini_resnet_v2_101(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The deeper pre-activation ResNet, six blocks, 136 features."""
    return _resnet_v2("mini_resnet_v2_101", (1, 2, 2, 1), (16, 32, 56, 136), pretrained, kwargs)


@register_model
def mini_resnet_v2_152(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The deepest pre-activation ResNet, eight blocks, 152 features."""
    return _resnet_v2("mini_resnet_v2_152", (1, 3, 3, 1), (16, 32, 48, 152), pretrained, kwargs)


@register_model
def mini_biggan(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """BigGAN's discriminator as a body: residual, three quarters of the experts' features, more parameters."""
    return _resnet_v2("mini_biggan", (1, 2, 3, 1), (16, 32, 72, 96), pretrained, kwargs)


def _inception(version: str, body: dict[str, Any], pretrained: bool, kwargs: dict[str, Any]) -> nn.Module:
    return build_model_with_cfg(
        SmallInception, f"mini_inception_{version}", pretrained, version=version,
        feature_cfg={"flatten_sequential": True, "out_indices": (0, 1, 2)}, **(body | kwargs),
    )  # fmt: skip


@register_model
def mini_inception_v1(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Blocks of 1 x 1, 3 x 3, 5 x 5 and a pool side by side, 104 features."""
    return _inception("v1", {"stem": 16, "widths": ((16, 16), (24, 26)), "blocks": (1, 2)}, pretrained, kwargs)


@register_model
def mini_inception_v2(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The same with two 3 x 3 for each 5 x 5, 120 features."""
    return _inception("v2", {"stem": 16, "widths": ((16, 16), (24, 30)), "blocks": (1, 2)}, pretrained, kwargs)


@register_model
def mini_inception_v3(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The same with 1 x 5 and 5 x 1, wider, 176 features."""
    return _inception("v3", {"stem": 16, "widths": ((16, 20), (32, 44)), "blocks": (1, 2)}, pretrained, kwargs)


@register_model
def mini_inception_resnet_v2(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Inception blocks as residuals, 144 features."""
    return _inception("resnet_v2", {"stem": 24, "widths": ((18, 28), (28, 32)), "blocks": (2, 3)}, pretrained, kwargs)


def _searched(kind: type[nn.Module], name: str, body: dict[str, Any], pretrained: bool,
              kwargs: dict[str, Any]) -> nn.Module:  # fmt: skip
    # timm cannot rewrite cells that look back two places as a sequence; it can listen to them.
    listen = {"feature_cls": "hook", "no_rewrite": True, "out_indices": (0, 1)}
    return build_model_with_cfg(kind, name, pretrained, feature_cfg=listen, **(body | kwargs))


@register_model
def mini_nasnet_mobile(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Two cells of NASNet-A, 132 features."""
    body = {"stem": 24, "filters": 22, "repeats": 0}
    return _searched(SmallNASNet, "mini_nasnet_mobile", body, pretrained, kwargs)


@register_model
def mini_nasnet_large(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Four wider cells of NASNet-A, 288 features."""
    body = {"stem": 40, "filters": 48, "repeats": 2}
    return _searched(SmallNASNet, "mini_nasnet_large", body, pretrained, kwargs)


@register_model
def mini_pnasnet_large(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Three wide cells of PNASNet-5, 270 features."""
    body = {"stem": 40, "filters": 54}
    return _searched(SmallPNASNet, "mini_pnasnet_large", body, pretrained, kwargs)


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
