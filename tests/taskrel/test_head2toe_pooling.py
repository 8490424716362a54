"""Pooled sizes of the published networks, pooled values against loops, and unit-norm layers."""

import numpy as np
import pytest
import torch

from taskrel.head2toe import Layers, plan, pool, share_per_layer
from taskrel.head2toe.layers import unit_rows
from taskrel.head2toe.select import rank, select
from tests.oracles.head2toe import pooled

VIT = 12 * [(197, 768), (197, 768), (197, 3072), (197, 768)] + 3 * [(197, 768)] + 2 * [(768,)]


def resnet(side: int) -> list[tuple[int, ...]]:
    """Shapes of the 52 taps of a pre-activation ResNet-50: its units, the stem, the last map and two vectors."""
    width, before, shapes = side // 4, 64, [(64, side // 4, side // 4), (2048,), (1000,)]
    for stage, units in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for unit in range(units):
            after = -(-width // 2) if unit == 0 and stage > 0 else width
            shapes += [(before, width, width), (inner, width, width), (inner, after, after)]
            before, width = 4 * inner, after
    return [*shapes, (2048, width, width)]


@pytest.mark.parametrize(
    ("shapes", "target", "total"),
    [
        (VIT, 768, 68_352), (VIT, 15_360, 814_848), (VIT, 32_448, 1_837_824),
        (resnet(240), 512, 30_440), (resnet(240), 1024, 48_104), (resnet(240), 8192, 406_248),
        (resnet(240), 16_384, 1_542_248), (resnet(240), 40_000, 3_006_440),
        (resnet(224), 1024, 48_104), (resnet(224), 16_384, 1_306_472),
    ],
)  # fmt: skip
def test_the_networks_of_the_paper_have_these_sizes(shapes, target, total):
    assert sum(plan(shape, target).size for shape in shapes) == total


def test_the_authors_collapse_at_224_pixels():
    assert sum(plan(shape, 40_000, zero_pool="as_released").size for shape in resnet(224)) == 2_771_944
    assert sum(plan(shape, 40_000).size for shape in resnet(224)) == 2_771_944 + 5 * (25_088 - 512)


@pytest.mark.parametrize(
    ("width", "channels", "target", "size", "window"),
    [
        (60, 64, 40000, 57600, 2), (56, 96, 16384, 18816, 4), (15, 512, 40000, 115200, 1), (14, 384, 16384, 18816, 2),
        (8, 512, 40000, 32768, 1), (8, 2048, 16384, 8192, 4), (28, 192, 40000, 37632, 2), (7, 512, 16384, 25088, 1),
        (112, 16, 16384, 21904, 3), (7, 512, 40000, 25088, 1), (7, 320, 40000, 15680, 1),
    ],
)  # fmt: skip
def test_maps(width, channels, target, size, window):
    assert (plan((channels, width, width), target).size, plan((channels, width, width), target).window) == (
        size, (window, window),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "channels", "target", "size", "window", "dropped"),
    [
        (197, 768, 15360, 16128, 9, 8), (197, 3072, 32448, 30720, 18, 17), (257, 1024, 32448, 32768, 8, 1),
        (128, 768, 15360, 16128, 6, 2), (50, 768, 15360, 19200, 2, 0), (197, 384, 15360, 18816, 4, 1),
        (197, 192, 15360, 18816, 2, 1),
    ],
)  # fmt: skip
def test_tokens(tokens, channels, target, size, window, dropped):
    found = plan((tokens, channels), target)
    assert (found.size, found.window, found.dropped) == (size, (window,), (dropped,))


def test_more_cells_wanted_than_there_are():
    assert plan((512, 7, 7), 40000, zero_pool="as_released").size == 512
    assert plan((320, 7, 7), 40000, zero_pool="as_released").size == 320
    assert plan((4, 8), 10_000, zero_pool="as_released").size == 8
    assert plan((4, 8), 10_000).size == 32
    with pytest.raises(ValueError, match="at most"):
        plan((512, 7, 7), 40000, zero_pool="raise")
    with pytest.raises(ValueError, match="shape"):
        plan((1, 2, 3, 4), 10)


@pytest.mark.parametrize("side", [(7, 7), (12, 12), (12, 9)])
def test_values_are_those_of_a_loop_whatever_else_is_pooled(side):
    layer = torch.randn(2, 3, *side, generator=torch.Generator().manual_seed(0))
    targets = (3, 12, 27, 48, 108, 400)
    plans = [plan(layer.shape[1:], target) for target in targets]
    memory_formats = (layer, layer.to(memory_format=torch.channels_last))
    for form in memory_formats:
        for each, found in zip(plans, pool(form, plans), strict=True):
            window = each.window or side
            expected = pooled(layer.permute(0, 2, 3, 1).numpy().astype(np.float64), window)
            assert found.shape == (2, each.size)
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_tokens_are_pooled_in_order_with_the_class_token_first():
    layer = torch.randn(2, 11, 4, generator=torch.Generator().manual_seed(0))
    plans = [plan((11, 4), target) for target in (4, 8, 14, 44)]
    for each, found in zip(plans, pool(layer, plans), strict=True):
        window = each.window[0] if each.window else 11
        np.testing.assert_allclose(found, pooled(layer.double().numpy()[:, None], (1, window)), atol=1e-6)


def test_padding_is_left_out_of_averages():
    layer = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    whole, thirds = pool(layer, [plan((6, 4), 4), plan((6, 4), 12)], mask)
    torch.testing.assert_close(whole[0], layer[0, :3].mean(dim=0))
    torch.testing.assert_close(thirds[0], torch.cat([layer[0, :2].mean(dim=0), layer[0, 2], torch.zeros(4)]))
    torch.testing.assert_close(thirds[1], pool(layer, [plan((6, 4), 12)])[0][1])
    with pytest.raises(ValueError, match="mask"):
        pool(layer, [plan((6, 4), 4)], mask[:, :3])


def some_layers(n=9, sizes=(4, 7, 3), dtype=torch.float64):
    draw = torch.Generator().manual_seed(1)
    return Layers(tuple("abcdefg"[: len(sizes)]), tuple(torch.randn(n, d, generator=draw, dtype=dtype) for d in sizes))


def test_layers_have_unit_norm_and_zero_stays_zero():
    blocks = [block.clone() for block in some_layers().blocks]
    blocks[1][2] = 0
    layers = Layers(("a", "b", "c"), tuple(blocks))
    wide = layers.columns(np.arange(14))
    for part in wide.split(layers.sizes, dim=1):
        norms = torch.linalg.vector_norm(part, dim=1)
        expected = torch.ones(9, dtype=torch.float64)
        if part.shape[1] == 7:
            expected[2] = 0
        torch.testing.assert_close(norms, expected, rtol=0, atol=1e-12)
    assert not unit_rows(torch.zeros(2, 3)).any()


def test_streamed_products_are_the_dense_ones():
    layers, draw = some_layers(), torch.Generator().manual_seed(2)
    wide = layers.columns(np.arange(14))
    weights = torch.randn(5, 14, generator=draw, dtype=torch.float64)
    residual = torch.randn(2, 3, 9, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(layers.product(weights), weights @ wide.T, rtol=0, atol=1e-12)
    expected = torch.linalg.vector_norm(residual @ wide, dim=1)
    for memory in (1, 200, 1 << 20):
        torch.testing.assert_close(layers.gradient_norms(residual, memory), expected, rtol=0, atol=1e-12)
    kept = np.array([0, 3, 4, 5, 9])
    chosen = layers.columns(kept, renormalise=True)
    for memory in (1, 1 << 20):
        torch.testing.assert_close(layers.gram(kept, memory), chosen @ chosen.T, rtol=0, atol=1e-12)


def test_what_is_kept_is_normalised_anew_and_empty_layers_go():
    layers, kept = some_layers(), np.array([1, 3, 6])
    fresh, stale = layers.columns(kept, renormalise=True), layers.columns(kept)
    raw = layers.blocks[0][:, [1, 3]]
    torch.testing.assert_close(fresh[:, :2], raw / raw.norm(dim=1, keepdim=True))
    torch.testing.assert_close(fresh[:, 2].abs(), torch.ones(9, dtype=torch.float64))
    assert not torch.allclose(fresh, stale)
    torch.testing.assert_close(layers.gram(kept, 1 << 20).diagonal(), torch.full((9,), 2.0, dtype=torch.float64))
    np.testing.assert_allclose(share_per_layer(layers, kept), [2 / 4, 1 / 7, 0])
    np.testing.assert_allclose(share_per_layer(layers, [kept, np.array([1])]), [1.5 / 4, 0.5 / 7, 0])


def test_layers_refuse_what_is_no_layer():
    with pytest.raises(ValueError, match="one n"):
        Layers(("a", "b"), (torch.ones(3, 2), torch.ones(2, 2)))
    with pytest.raises(ValueError, match=r"finite.*b"):
        Layers(("a", "b"), (torch.ones(3, 2), torch.full((3, 2), torch.nan)))
    with pytest.raises(ValueError, match="one per name"):
        Layers(("a",), ())


def test_one_order_serves_all_fractions():
    strength = torch.tensor([0.0, 3.0, 0.0, 3.0, 1.0, 0.0, 0.0])
    order = rank(strength, torch.tensor([0.1, 0, 0.2, 0, 0, 0.2, 0]))
    assert order.tolist() == [1, 3, 4, 2, 5, 0, 6]
    assert rank(strength**2).tolist() == rank(strength).tolist()
    assert select(order, 0.5).tolist() == [1, 3, 4]  # int(3.5)
    assert select(order, 1.0).tolist() == list(range(7))
    assert set(select(order, 0.3)) <= set(select(order, 0.6))
    with pytest.raises(ValueError, match="at least one"):
        select(order, 0.1)
    with pytest.raises(ValueError, match="fraction"):
        select(order, 1.5)
