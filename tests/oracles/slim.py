"""TF-Slim's and the VTAB study's networks as a walk over their variables: names, strides and padding as published."""

import torch
import torch.nn.functional as F


def _conv(x, kernel, stride=1, bias=None, same=False, groups=1):
    kernel = kernel.permute(2, 3, 0, 1).flatten(0, 1)[:, None] if groups > 1 else kernel.permute(3, 2, 0, 1)
    total = kernel.shape[-1] - 1
    if same:  # TensorFlow's SAME depends on the size
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel.shape[-1] - x.shape[-1], 0)
    x = F.pad(x, (total // 2, total - total // 2) * 2)
    return F.conv2d(x, kernel, bias, stride, groups=groups)


def _bn(x, v, scope, eps):
    keys = ("moving_mean", "moving_variance", "gamma", "beta")
    return F.batch_norm(x, *(v[f"{scope}/{key}"] for key in keys), False, 0, eps)


def _pool_same(x):
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)  # for even sizes


def resnet_v1(v, x, units=(3, 4, 6, 3)):
    """Features [n, 2048]; a block strides in its last unit."""
    def cbr(x, scope, stride=1):
        return _bn(_conv(x, v[f"{scope}/weights"], stride), v, f"{scope}/BatchNorm", 1e-5)

    x = _pool_same(cbr(x, "conv1", 2).relu())
    for b, count in enumerate(units, 1):
        for u in range(1, count + 1):
            s, stride = f"block{b}/unit_{u}/bottleneck_v1", 2 if u == count and b < 4 else 1
            cut = cbr(x, f"{s}/shortcut", stride) if u == 1 else x[:, :, ::stride, ::stride]
            y = cbr(cbr(x, f"{s}/conv1").relu(), f"{s}/conv2", stride).relu()
            x = (cut + cbr(y, f"{s}/conv3")).relu()
    return x.mean((2, 3))


def resnet_v2(v, x, units=(3, 4, 6, 3)):
    """The same before activation, with biases where nothing normalises."""
    x = _pool_same(_conv(x, v["conv1/weights"], 2, v["conv1/biases"]))
    for b, count in enumerate(units, 1):
        for u in range(1, count + 1):
            s, stride = f"block{b}/unit_{u}/bottleneck_v2", 2 if u == count and b < 4 else 1
            p = _bn(x, v, f"{s}/preact", 1e-5).relu()
            cut = (_conv(p, v[f"{s}/shortcut/weights"], stride, v[f"{s}/shortcut/biases"]) if u == 1
                   else x[:, :, ::stride, ::stride])  # fmt: skip
            y = _bn(_conv(p, v[f"{s}/conv1/weights"]), v, f"{s}/conv1/BatchNorm", 1e-5).relu()
            y = _bn(_conv(y, v[f"{s}/conv2/weights"], stride), v, f"{s}/conv2/BatchNorm", 1e-5).relu()
            x = cut + _conv(y, v[f"{s}/conv3/weights"], 1, v[f"{s}/conv3/biases"])
    return _bn(x, v, "postnorm", 1e-5).relu().mean((2, 3))


def vtab_resnet_v2(v, x, units=(3, 4, 6, 3)):
    """Layers numbered as they are made; the first unit of a block strides; a border of zeros before pooling."""
    made = {"conv2d": 0, "batch_normalization": 0}

    def name(kind):
        made[kind] += 1
        return kind if made[kind] == 1 else f"{kind}_{made[kind] - 1}"

    def conv(x, stride=1):
        return _conv(x, v[f"{name('conv2d')}/kernel"], stride)

    x = F.max_pool2d(F.pad(conv(x, 2), (1, 1, 1, 1)), 3, 2)
    for b, count in enumerate(units):
        for u in range(count):
            stride = 2 if u == 0 and b else 1
            p = _bn(x, v, name("batch_normalization"), 1e-3).relu()
            cut = conv(p, stride) if u == 0 else x
            y = _bn(conv(p), v, name("batch_normalization"), 1e-3).relu()
            x = cut + conv(_bn(conv(y, stride), v, name("batch_normalization"), 1e-3).relu())
    return _bn(x, v, name("batch_normalization"), 1e-3).relu().mean((2, 3))


def mobilenet_v1(v, x):
    """Thirteen pairs of depthwise and pointwise convolutions."""
    def cbr(x, scope, leaf="weights", **how):
        return _bn(_conv(x, v[f"{scope}/{leaf}"], same=True, **how), v, f"{scope}/BatchNorm", 1e-3).clamp(0, 6)

    x = cbr(x, "Conv2d_0", stride=2)
    for i in range(1, 14):
        x = cbr(x, f"Conv2d_{i}_depthwise", "depthwise_weights", stride=1 + (i in (2, 4, 6, 12)), groups=x.shape[1])
        x = cbr(x, f"Conv2d_{i}_pointwise")
    return x.mean((2, 3))


def mobilenet_v2(v, x):
    """Seventeen inverted residuals; a projection has no activation."""
    def cb(x, scope, leaf="weights", **how):
        return _bn(_conv(x, v[f"{scope}/{leaf}"], same=True, **how), v, f"{scope}/BatchNorm", 1e-3)

    x = cb(x, "Conv", stride=2).clamp(0, 6)
    for i in range(17):
        s = f"expanded_conv_{i}" if i else "expanded_conv"
        y = cb(x, f"{s}/expand").clamp(0, 6) if i else x
        y = cb(y, f"{s}/depthwise", "depthwise_weights", stride=1 + (i in (1, 3, 6, 13)), groups=y.shape[1]).clamp(0, 6)
        y = cb(y, f"{s}/project")
        x = x + y if x.shape == y.shape else y
    return cb(x, "Conv_1").clamp(0, 6).mean((2, 3))
