"""Where taps are found in models of many kinds, and what one pass makes of them."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

import sweeps.zoo.mini  # noqa: F401
from sweeps.errors import ModelError
from sweeps.zoo.listen import extract
from sweeps.zoo.mini import NAMES
from sweeps.zoo.mini_text import NAMES as TEXT_NAMES
from sweeps.zoo.mini_text import folder
from sweeps.zoo.taps import find_taps, paper_taps
from taskrel.head2toe import head2toe_score, plan
from tests.oracles.head2toe import pooled


def images(side, n=5):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def by_hook(model, name, which, batch):
    """The tensor at a place, as one plain hook sees it."""
    seen = []
    module = model.get_submodule(name)
    handle = (module.register_forward_pre_hook(lambda _m, args: seen.append(args[0].clone())) if which == "input"
              else module.register_forward_hook(lambda _m, _a, output: seen.append(output.clone())))  # fmt: skip
    with torch.inference_mode():
        model(batch)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", sorted({name.split(".")[0] for name in NAMES}))
def test_every_embedded_architecture_has_taps_in_every_block(name):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=10).eval()
    taps = find_taps(model, images(32))
    assert len({tap.name for tap in taps}) == len(taps)
    found = " ".join(tap.name for tap in taps)
    for block in [path for path, _ in model.named_modules() if path.count(".") == (3 if "v2_50" in path else 1)]:
        if block.startswith(("layer", "blocks.")):
            assert block in found
    layers = extract(model, [images(32)[:3], images(32)[3:]], (64, 512), taps=taps)
    for size, pools in layers.items():
        assert pools.examples == 5
        assert pools.features == sum(plan(tap.shape, size).size for tap in taps)
        assert pools.features >= 64 * 5
    vectors = [tap for tap in taps if len(tap.shape) == 1]
    assert vectors[-1].name == "output"
    with torch.inference_mode():
        torch.testing.assert_close(layers[64].blocks[-1], model(images(32)), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "side", "count", "blocks"),
    [
        ("resnet18", 64, 19, 11), ("vit_tiny_patch16_224", 224, 52, 16), ("convnext_atto", 64, 42, 15),
        ("mobilenetv2_050", 64, 54, 21), ("efficientnet_b0", 64, 51, 20), ("swin_tiny_patch4_window7_224", 224, 35, 16),
        ("densenet121", 64, 123, 8), ("vgg11", 64, 10, 3),
    ],
)  # fmt: skip
def test_models_of_many_families(name, side, count, blocks):
    model, batch = timm.create_model(name, pretrained=False).eval(), images(side, 2)
    taps = find_taps(model, batch)
    assert (len(taps), len(find_taps(model, batch, blocks=True))) == (count, blocks)
    layers = extract(model, [batch], (512,), taps=taps)[512]
    assert layers.features == sum(plan(tap.shape, 512).size for tap in taps)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["mini_resnet_v2_50.mininet", "mini_mobilenet_v1.mininet"])
def test_values_are_those_of_plain_hooks_pooled_by_loops(name):
    model, batch = timm.create_model(name, pretrained=True).eval(), images(32, 3)
    taps = find_taps(model, batch)
    layers = extract(model, [batch[:1], batch[1:]], (40, 300), taps=taps)
    for place, tap in enumerate(taps):
        if len(tap.shape) != 3:
            continue
        raw = by_hook(model, tap.module, tap.which, batch).permute(0, 2, 3, 1).double().numpy()
        for size, pools in layers.items():
            window = plan(tap.shape, size).window or tap.shape[1:]
            np.testing.assert_allclose(pools.blocks[place], pooled(raw, window), atol=1e-4)


def test_the_lists_of_the_paper():
    resnet = timm.create_model("resnetv2_50", pretrained=False).eval()
    exact, found = paper_taps(resnet, images(240, 2)), find_taps(resnet, images(240, 2))
    for taps in (exact, found):
        totals = [sum(plan(tap.shape, size).size for tap in taps) for size in (512, 1024, 8192, 16384, 40000)]
        assert totals == [30_440, 48_104, 406_248, 1_542_248, 3_006_440]
        assert len(taps) == 52
    vit = timm.create_model("vit_base_patch16_224", pretrained=False).eval()
    taps = paper_taps(vit, images(224, 2))
    assert len(taps) == 53
    totals = [sum(plan(tap.shape, size).size for tap in taps) for size in (768, 15_360, 32_448)]
    assert totals == [68_352, 814_848, 1_837_824]
    with pytest.raises(ModelError, match="ResNetV2"):
        paper_taps(timm.create_model("resnet18").eval(), images(64, 2))


def test_parts_of_the_tokens():
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, depth=2).eval()
    batch = images(224, 2)
    layers = extract(vit, [batch], (10**6,), taps=paper_taps(vit, batch))[10**6]
    blocks = dict(zip(layers.names, layers.blocks, strict=True))
    placed, root = blocks["position_embedded_input"], blocks["root_output_with_cls"]
    torch.testing.assert_close(root + vit.pos_embed.detach().reshape(1, -1), placed, rtol=0, atol=1e-5)
    torch.testing.assert_close(blocks["pre_logits"], blocks["norm"][:, :192])
    assert blocks["cls_embedded"].shape == (2, 192)


def bert():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=50
    )
    torch.manual_seed(0)
    return transformers.BertModel(config).eval()


def test_transformers_text_with_padding():
    model = bert()
    ids = torch.randint(1, 50, (4, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[:, 7:] = 0
    other = torch.where(mask.bool(), ids, torch.full_like(ids, 9))
    one, two = (extract(model, [{"input_ids": text, "attention_mask": mask}], (32, 96)) for text in (ids, other))
    assert len(one[32].names) == 10  # not what leaves the pooler: checkpoints often lack its weights
    for a, b in zip(one[96].blocks, two[96].blocks, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert sum(name.startswith("encoder.layer.1.") for name in one[32].names) == 4
    short = {"input_ids": ids[:, :8], "attention_mask": mask[:, :8]}
    with pytest.raises(ModelError, match="per example"):
        extract(model, [short, {"input_ids": ids, "attention_mask": mask}], (32,))


def test_texts_of_any_length_in_any_batch_give_what_padding_to_the_longest_gives():
    model = bert()
    ids = torch.randint(1, 50, (6, 15), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([15, 9, 4, 4, 12, 2])
    mask = (torch.arange(15) < lengths[:, None]).long()
    taps = find_taps(model, {"input_ids": ids[2:4, :4], "attention_mask": mask[2:4, :4]}, tokens=15)
    assert all(tap.shape[0] == 15 for tap in taps if len(tap.shape) == 2)
    whole = extract(model, [{"input_ids": ids, "attention_mask": mask}], (32, 96, 400), taps=taps)
    order = lengths.argsort(descending=True)
    buckets = [{"input_ids": ids[part, : lengths[part].max()], "attention_mask": mask[part, : lengths[part].max()]}
               for part in order.split(2)]  # fmt: skip
    apart = extract(model, buckets, (32, 96, 400), taps=taps)
    for size, layers in whole.items():
        assert layers.features == sum(plan(tap.shape, size).size for tap in taps)
        for a, b in zip(layers.rows(order).blocks, apart[size].blocks, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_every_embedded_language_model_has_taps_in_every_block(name):
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModel.from_pretrained(folder(name), dtype=torch.float32).eval()
    ids = torch.arange(3, 27).view(2, 12)
    taps = find_taps(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, tokens=20)
    inside = " ".join(tap.name for tap in taps)
    depth = model.config.num_hidden_layers
    assert all(any(f".{block}." in tap.name for tap in taps) for block in range(depth)), inside
    assert {len(tap.shape) for tap in taps} <= {1, 2}
    layers = extract(model, [{"input_ids": ids, "attention_mask": torch.ones_like(ids)}], (64,), taps=taps)[64]
    assert layers.features == sum(plan(tap.shape, 64).size for tap in taps)
    assert not any("pooler" in tap.name and tap.which == "output" for tap in taps)


def test_transformers_images():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    model = transformers.ViTModel(config).eval()
    taps = find_taps(model, {"pixel_values": images(32, 2)})
    assert [tap.shape for tap in taps].count((17, 64)) == 2
    assert [tap.shape for tap in taps].count((17, 32)) >= 7


def test_a_single_example_and_nothing_at_all():
    model = timm.create_model("mini_mobilenet_v2", pretrained=False).eval()
    assert extract(model, [images(32, 1)], (64,))[64].examples == 1
    with pytest.raises(ModelError, match="at least one"):
        extract(model, [], (64,))
    with pytest.raises(ModelError, match="listen"):
        find_taps(nn.Identity(), torch.randn(2, 3))


def test_from_pixels_to_a_score():
    model = timm.create_model("mini_resnet_v2_50.mininet", pretrained=True, num_classes=0).eval()
    labels = torch.arange(40) % 2
    pixels = images(32, 40) * 0.5 + labels.view(-1, 1, 1, 1)
    taps = extract(model, pixels.split(16), (256,))
    score = head2toe_score(taps, labels, taps, labels)
    assert score.accuracy == 1
    assert score.cross_validated > 0.9
