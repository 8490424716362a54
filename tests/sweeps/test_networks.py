"""TensorFlow's variables in timm's modules: the same function as a walk over the variables, every count the paper's."""

import numpy as np
import pytest
import torch

from sweeps.errors import ModelError
from sweeps.zoo import networks
from tests.oracles import slim

COUNTS = {  # parameters without a classifier, as the study prints them
    "slim/resnet_v1_50": 23_508_032, "slim/resnet_v1_101": 42_500_160, "slim/resnet_v1_152": 58_143_808,
    "slim/resnet_v2_50": 23_519_360, "slim/resnet_v2_101": 42_528_896, "slim/resnet_v2_152": 58_187_904,
    "slim/mobilenet_v1_100": 3_206_976, "slim/mobilenet_v2_100": 2_223_872, "vtab/resnet_v2_50": 23_500_352,
    "bit/resnet_v2_50x1": 23_500_352,
}  # fmt: skip


def wanted(name: str) -> dict[str, tuple[int, ...]]:
    """TensorFlow's name and shape of every variable of a network."""
    with torch.device("meta"):
        module = networks.empty(name)
    own = {key: tuple(value.shape) for key, value in module.state_dict().items() if "num_batches" not in key}
    names = networks.NETWORKS[name].names(list(own))
    shapes = {}
    for key, shape in own.items():
        if len(shape) == 4:
            order = (2, 3, 0, 1) if names[key].endswith("depthwise_weights") else (2, 3, 1, 0)
            shape = tuple(shape[side] for side in order)
        shapes[names[key]] = shape
    if networks.NETWORKS[name].biases:
        shapes |= {called: own[key][:1] for key, called in networks._biases(names).items()}
    return shapes


def drawn(name: str, scope: str = "") -> dict[str, np.ndarray]:
    """Random variables that keep activations of order one."""
    rng, found = np.random.default_rng(0), {}
    for called, shape in wanted(name).items():
        values = rng.standard_normal(shape).astype("float32")
        if len(shape) == 4:
            fan = np.prod(shape[:2]) * (1 if called.endswith("depthwise_weights") else shape[2])
            values *= np.sqrt(2 / fan).astype("float32")
        elif called.endswith(("moving_variance", "gamma")):
            values = np.abs(values) * np.float32(0.3) + np.float32(0.5)
        found[scope + called] = values
    return found


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_counts_are_the_studys(name):
    shapes = wanted(name)
    statistics = ("moving_mean", "moving_variance")
    trained = {called: shape for called, shape in shapes.items() if not called.endswith(statistics)}
    assert sum(int(np.prod(shape)) for shape in trained.values()) == COUNTS[name]
    assert len(set(shapes)) == len(shapes)


@pytest.mark.parametrize(("name", "oracle"), [
    ("slim/resnet_v1_50", slim.resnet_v1), ("slim/resnet_v2_50", slim.resnet_v2),
    ("vtab/resnet_v2_50", slim.vtab_resnet_v2), ("slim/mobilenet_v1_100", slim.mobilenet_v1),
    ("slim/mobilenet_v2_100", slim.mobilenet_v2),
])  # fmt: skip
@torch.no_grad()
def test_a_module_computes_what_the_variables_say(name, oracle):
    variables = drawn(name)
    module = networks.build(name, {f"module/net/{key}": value for key, value in variables.items()}, "here")
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    given = oracle({key: torch.from_numpy(value) for key, value in variables.items()}, images)
    found = module.eval()(images)
    assert given.std() > 1e-3
    # float32 through fifty layers; where biases were taken into the means, another order of additions
    torch.testing.assert_close(found, given, rtol=2e-3, atol=2e-4 * given.abs().max().item())


@torch.no_grad()
def test_bit_is_read_as_timm_reads_its_own_files(tmp_path):
    import timm

    variables = drawn("bit/resnet_v2_50x1", "resnet/")
    np.savez(tmp_path / "w.npz", **variables)
    reference = timm.create_model("resnetv2_50x1_bit", num_classes=0)
    reference.load_pretrained(str(tmp_path / "w.npz"))
    found = networks.build("bit/resnet_v2_50x1", variables | {"resnet/head/conv2d/bias": np.zeros(5)}, "here")
    for key, value in reference.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


def test_what_does_not_fit_is_one_line():
    name = "slim/mobilenet_v2_100"
    whole = drawn(name, "MobilenetV2/")

    def refused(variables, message):
        with pytest.raises(ModelError, match=message) as caught:
            networks.build(name, variables, "hub")
        assert "\n" not in str(caught.value)

    refused({}, "must hold a variable Conv/weights")
    refused(whole | {f"other/{key}": value for key, value in whole.items()}, "got 260 others, first other/")
    without = {key: value for key, value in whole.items() if "Conv_1/weights" not in key}
    refused(without, "got none for 1, first Conv_1/weights")
    refused(whole | {"MobilenetV2/Surprise/weights": np.zeros(3)}, "got 1 others, first Surprise/weights")
    refused(whole | {"MobilenetV2/Conv/weights": np.zeros((3, 3, 3, 8))}, r"shape of torch's \[32, 3, 3, 3\]")
    with pytest.raises(ModelError, match="did you mean 'slim/resnet_v1_50'"):
        networks.build("slim/resnet_v1_5", whole, "hub")


def test_what_training_left_beside_the_network_is_passed_over():
    name = "slim/mobilenet_v2_100"
    beside = {
        "global_step": np.zeros(()),
        "MobilenetV2/Conv/weights/ExponentialMovingAverage": np.zeros(2),
        "MobilenetV2/Conv/weights/RMSProp_1": np.zeros(2),
        "MobilenetV2/Logits/Conv2d_1c_1x1/weights": np.ones(2),
    }
    module = networks.build(name, drawn(name, "MobilenetV2/") | beside, "hub")
    assert sum(parameter.numel() for parameter in module.parameters()) == COUNTS[name]
