"""The upstream sets: reproducible, disjoint, and labelled as their facts say."""

import numpy as np
import pytest

from sweeps.drawn import canvas, colour, shapes
from sweeps.zoo.mini import world
from sweeps.zoo.mini.families import FAMILIES


def _prints(images: world.Images) -> set[bytes]:
    return {image.tobytes() for image in images.pixels}


def test_a_family_is_the_same_whatever_was_drawn_before() -> None:
    alone = world.draw("cells", "train", 3, per_class=4)
    world.draw("mininet", "train", 3, per_class=2)
    whole = world.draw("world", "train", 3, per_class=4)
    start = whole.classes.index(alone.classes[0]) * 4
    np.testing.assert_array_equal(whole.pixels[start : start + len(alone.pixels)], alone.pixels)
    assert not np.array_equal(world.draw("cells", "train", 4, per_class=4).pixels, alone.pixels)


@pytest.mark.parametrize("upstream", ["shapes", "mininet"])
def test_splits_share_no_image(upstream: str) -> None:
    train, val = (world.draw(upstream, split, 0, per_class=30) for split in ("train", "val"))
    assert len(_prints(train)) == len(train.labels)
    assert not _prints(train) & _prints(val)


def test_mininet_draws_its_own_images_of_classes_of_the_world() -> None:
    assert set(world.classes("mininet")) < set(world.classes("world"))
    assert {name.split("/")[0] for name in world.classes("mininet")} == set(world.MININET)
    same = world.draw("shapes", "train", 0, per_class=20)
    assert not _prints(same) & _prints(world.draw("mininet", "train", 0, per_class=20))


def test_the_world_is_its_families_one_after_the_other() -> None:
    names = world.classes("world")
    assert names == tuple(f"{family}/{kind}" for family, table in FAMILIES.items() for kind in table)
    assert len(set(names)) == len(names) >= 80
    assert 40_000 <= len(names) * world.TRAIN_PER_CLASS <= 55_000


def test_a_subset_is_its_part_of_the_world(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    whole = world.draw("world", "val", 2, per_class=2)
    rows = dict(zip(whole.classes, whole.pixels.reshape(len(whole.classes), 2, 32, 32, 3), strict=True))
    for name in world.SUBSETS:
        for part in (world.draw(name, "val", 2, per_class=2), world.cached(name, "val", 2, per_class=2)):
            assert part.classes == tuple(each for each in whole.classes if each in part.classes)
            np.testing.assert_array_equal(part.pixels.reshape(-1, 2, 32, 32, 3), [rows[each] for each in part.classes])
            np.testing.assert_array_equal(part.labels, np.repeat(np.arange(len(part.classes)), 2))
    assert set(world.classes("numerals")) | set(world.classes("letters")) == set(world.classes("glyphs"))
    assert set(world.classes("objects")) == {*world.classes("shapes"), *world.classes("scenes")}
    assert len({world.classes(name) for name in (*world.SUBSETS, *FAMILIES)}) == 15


@pytest.mark.parametrize("upstream", list(FAMILIES))
def test_every_class_has_its_share_and_none_is_blank(upstream: str) -> None:
    images = world.draw(upstream, "val", 0, per_class=6)
    assert images.pixels.shape == (6 * len(images.classes), 32, 32, 3)
    assert images.pixels.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(images.labels), np.full(len(images.classes), 6))
    assert images.pixels.std(axis=(1, 2, 3)).min() > 2


def test_a_cached_draw_is_the_draw(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for _ in range(2):
        kept = world.cached("terrain", "val", 1, per_class=3)
        fresh = world.draw("terrain", "val", 1, per_class=3)
        np.testing.assert_array_equal(kept.pixels, fresh.pixels)
        np.testing.assert_array_equal(kept.labels, fresh.labels)
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert not list(tmp_path.rglob("*.part"))


def test_unknown_sets_and_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="upstream must be one of"):
        world.draw("animals", "train", 0)
    with pytest.raises(ValueError, match="split must be"):
        world.draw("cells", "test", 0)


def test_the_covered_area_of_a_disc_is_pi_r_squared() -> None:
    at = canvas.Pose(*(np.array([value], np.float32) for value in (0.1, -0.05, 0.6, 0.3)))
    area = canvas.cover(shapes.disc(*canvas.frame(at)), at.radius).sum() * canvas.PIXEL**2
    assert area == pytest.approx(np.pi * 0.36, rel=0.01)  # one soft pixel of edge


def test_paired_colours_differ_in_brightness() -> None:
    first, second = colour.pair(canvas.generator("test", 0), 500, gap=0.3)
    gap = np.abs((first - second) @ np.array([0.30, 0.59, 0.11]))
    assert first.min() >= 0
    assert first.max() <= 1
    assert second.min() >= 0
    assert second.max() <= 1
    assert np.quantile(gap, 0.05) > 0.25
