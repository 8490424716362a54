"""The embedded tasks: reproducible, disjoint, balanced, and structured ones labelled by their known factor."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from sweeps.drawn import canvas, solids
from sweeps.drawn.canvas import generator
from sweeps.tasks.mini import SIZES, TASKS, draw, natural, screening, spaces, structured


@cache
def _drawn(name: str):
    return draw(name, 0)


@pytest.mark.parametrize("name", list(TASKS))
def test_sizes_types_and_classes_are_as_the_facts_say(name: str) -> None:
    facts, splits = TASKS[name], _drawn(name)
    assert list(splits) == list(facts.sizes) == list(SIZES)
    for split, (pixels, labels) in splits.items():
        assert pixels.shape == (facts.sizes[split], 32, 32, 3)
        assert pixels.dtype == np.uint8
        assert labels.shape == (facts.sizes[split],)
        assert labels.dtype == np.int64
        counts = np.bincount(labels, minlength=len(facts.classes))
        assert len(counts) == len(facts.classes)
        assert counts.min() >= 1
        # Digits are dealt evenly, but the real set has 174 to 183 of each, so its remainder is not quite even.
        assert counts.max() - counts.min() <= (9 if (name, split) == ("mini/digits", "test") else 1)


@pytest.mark.parametrize("name", list(TASKS))
def test_no_image_is_in_two_splits(name: str) -> None:
    prints = [{image.tobytes() for image in pixels} for pixels, _ in _drawn(name).values()]
    assert sum(map(len, prints)) == len(set.union(*prints)) == sum(TASKS[name].sizes.values())


@pytest.mark.parametrize("name", ["mini/digits", "mini/location", "mini/places", "mini/maze"])
def test_the_same_seed_draws_the_same_and_another_does_not(name: str) -> None:
    np.random.seed(1)  # the global stream must not matter
    again, other = draw(name, 0), draw(name, 1)
    for split, (pixels, labels) in _drawn(name).items():
        np.testing.assert_array_equal(again[split][0], pixels)
        np.testing.assert_array_equal(again[split][1], labels)
        assert not np.array_equal(other[split][0], pixels)


def test_digits_deal_every_real_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dealt = []
    written = natural._written
    monkeypatch.setattr(natural, "_written", lambda rng, small: (dealt.append(small), written(rng, small))[1])
    splits = draw("mini/digits", 5)
    from sklearn.datasets import load_digits

    source = load_digits()
    flat = np.concatenate(dealt).reshape(-1, 64)
    assert sorted(map(bytes, flat.astype(np.uint8))) == sorted(map(bytes, source.data.astype(np.uint8)))
    truth = {bytes(row): label for row, label in zip(source.data.astype(np.uint8), source.target, strict=True)}
    labels = np.concatenate([labels for _, labels in splits.values()])
    assert all(truth[bytes(row)] == label for row, label in zip(flat.astype(np.uint8), labels, strict=True))


def test_location_is_where_the_object_is() -> None:
    """Ridge regression on where an image departs from its own median colour recovers the bin's order."""
    pixels, labels = _drawn("mini/location")["test"]
    away = np.abs(pixels.astype(float) - np.median(pixels, axis=(1, 2), keepdims=True)).max(3)
    away = np.clip(away - np.quantile(away, 0.9, axis=(1, 2), keepdims=True), 0, None).sum(1)
    centre = (away * np.arange(32)).sum(1) / away.sum(1)
    assert np.corrcoef(centre, labels)[0, 1] > 0.8


def test_count_paints_as_many_objects_as_the_label_says(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    patch = structured.crowds.patch
    monkeypatch.setattr(structured.crowds, "patch", lambda *a: (shown.append(a[-1]), patch(*a))[1])
    labels = np.arange(8)
    structured.count(generator("test"), labels)
    np.testing.assert_array_equal(np.sum(shown, axis=0), labels + 1)


def test_distance_bins_are_the_nearest_things(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    place = structured.scenes.place
    monkeypatch.setattr(
        structured.scenes, "place", lambda line, x, far, size: (seen.append(far), place(line, x, far, size))[1]
    )
    labels = np.repeat(np.arange(6), 50)
    structured.distance(generator("test"), labels)
    nearest = np.min(seen, axis=0)
    np.testing.assert_array_equal(np.searchsorted(structured.EDGES, nearest, side="right") - 1, labels)


def test_the_groups_are_vtabs() -> None:
    groups = [facts.group for facts in TASKS.values()]
    assert [groups.count(group) for group in ("natural", "specialized", "structured")] == [7, 4, 8]
    assert all(name == facts.name for name, facts in TASKS.items())


FACTS = {
    "digits": 10, "letters": 26, "textures": 10, "flowers": 10, "badges": 8, "places": 10, "faces": 10,
    "cells": 8, "terrain": 10, "tissue": 2, "retina": 5,
    "count": 8, "location": 10, "orientation": 10, "distance": 6, "azimuth": 12, "elevation": 6, "range": 4, "maze": 6,
}  # fmt: skip


def test_the_facts_are_these() -> None:
    assert {name.removeprefix("mini/"): len(facts.classes) for name, facts in TASKS.items()} == FACTS
    for name, facts in TASKS.items():
        assert len(set(facts.classes)) == len(facts.classes)
        assert dict(facts.sizes) == SIZES | ({"test": 797} if name == "mini/digits" else {})
        assert facts.summary.endswith(".")


def test_no_badge_is_an_upstream_outline_and_no_place_an_upstream_scene() -> None:
    from sweeps.tasks.mini import sights
    from sweeps.zoo.mini.families import scenes, shapes

    assert not set(sights.BADGES) & set(shapes.NAMES)
    assert len(set(map(frozenset, sights.PLACES.values()))) == len(sights.PLACES)
    assert all(first != second for first, second in sights.PLACES.values())
    assert not set(sights.PLACES) & set(scenes.CLASSES)


def test_a_retina_shows_as_many_lesions_as_its_grade_says(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    spot = screening.organisms.spot
    monkeypatch.setattr(screening.organisms, "spot", lambda *a: (shown.append(a[3:]), spot(*a))[1])
    labels = np.repeat(np.arange(5), 40)
    screening.retina(generator("test"), labels)
    lesions = np.sum([fade[0] for fade in shown if fade], axis=0).astype(int)
    low, high = np.array(screening.LESIONS)[labels].T
    assert ((low <= lesions) & (lesions < high)).all()
    assert {*lesions[labels == 4]} == set(range(10, 16))


def test_a_growth_has_larger_nuclei_in_the_middle_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    membrane = screening.organisms.membrane
    monkeypatch.setattr(
        screening.organisms, "membrane", lambda rng, at, **k: (seen.append(at), membrane(rng, at, **k))[1]
    )
    labels = np.repeat([0, 1], 200)
    screening.tissue(generator("test"), labels)
    radius, middle = np.array([at.radius for at in seen]), np.array([np.hypot(at.x, at.y) < 0.5 for at in seen])
    mean = {(label, inside): radius[:, labels == label][middle[:, labels == label] == inside].mean()
            for label in (0, 1) for inside in (False, True)}  # fmt: skip
    assert mean[1, True] > 1.3 * mean[0, True]
    assert mean[1, False] == pytest.approx(mean[0, False], rel=0.05)  # 200 draws of the usual size


@pytest.mark.parametrize(("painter", "part"), [(spaces.azimuth, "azimuth"), (spaces.elevation, "elevation")])
def test_a_toy_is_turned_and_tipped_as_its_label_says(painter, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    views = []
    box = spaces.solids.box
    monkeypatch.setattr(spaces.solids, "box", lambda image, view, *a: (views.append(view), box(image, view, *a))[1])
    classes = {"azimuth": spaces.AZIMUTHS, "elevation": spaces.ELEVATIONS}[part]
    labels = np.repeat(np.arange(len(classes)), 20)
    painter(generator("test"), labels)
    degrees = np.degrees(getattr(views[0], part))
    low, high = np.array([[float(end) for end in name.split()[0].split("-")] for name in classes])[labels].T
    assert ((low <= degrees + 1e-3) & (degrees <= high + 1e-3)).all()
    other = np.degrees(views[0].azimuth if part == "elevation" else views[0].elevation)
    assert abs(np.corrcoef(other, labels)[0, 1]) < 0.2


def test_range_is_the_cars_whatever_stands_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    place = spaces.scenes.place
    monkeypatch.setattr(
        spaces.scenes, "place", lambda line, x, far, size: (seen.append(far), place(line, x, far, size))[1]
    )
    labels = np.repeat(np.arange(4), 50)
    spaces.distance_of_a_car(generator("test"), labels)
    car = seen[3]  # behind it three things, before it three
    np.testing.assert_array_equal(np.searchsorted(spaces.EDGES, car, side="right") - 1, labels)
    others = np.array([far for index, far in enumerate(seen) if index != 3])
    assert (others.min(0) < car).mean() > 0.3


def test_what_lies_in_a_maze_is_as_far_as_its_label_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    patch = spaces.crowds.patch
    monkeypatch.setattr(spaces.crowds, "patch", lambda *a: (seen.append(a), patch(*a))[1])
    labels = np.arange(6).repeat(60)
    spaces.maze(generator("test"), labels)
    sizes = [seen[0][2].radius[labels == label].mean() for label in range(6)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[3] > sizes[4] > sizes[5]
    ball, spiked = seen[0][5] > 0, seen[1][5] > 0
    np.testing.assert_array_equal(ball, labels < 3)
    np.testing.assert_array_equal(spiked, labels >= 3)


def test_a_turned_square_covers_its_area_and_hides_nothing_else() -> None:
    corners = np.array([[[0.0, -0.5], [0.5, 0.0], [0.0, 0.5], [-0.5, 0.0]]], np.float32)
    for turned in (corners, corners[:, ::-1]):
        mask = solids.convex(turned)
        assert mask.sum() * canvas.PIXEL**2 == pytest.approx(0.5, rel=0.02)  # one soft pixel of edge
    assert mask[0, 16, 16] == 1
    assert mask[0, 2, 2] == 0


def test_a_point_is_seen_where_the_view_puts_it() -> None:
    ones = np.ones(3, np.float32)
    at = canvas.Pose(0.1 * ones, -0.2 * ones, 0.5 * ones, 0 * ones)
    quarter = np.pi / 2
    view = solids.View(at, np.array([0, quarter, quarter], np.float32), np.array([0, 0, quarter], np.float32))
    ahead, above = (np.broadcast_to(np.array(point, np.float32), (3, 1, 3)) for point in ((1, 0, 0), (0, 0, 1)))
    # From the side, what points right is right; a quarter turn later it points away, and from straight above that is
    # up. The sky is up, but from straight above it is in the middle.
    np.testing.assert_allclose(view.project(ahead)[:, 0], [[0.6, -0.2], [0.1, -0.2], [0.1, -0.7]], atol=1e-6)
    np.testing.assert_allclose(view.project(above)[:, 0], [[0.1, -0.7], [0.1, -0.7], [0.1, -0.2]], atol=1e-6)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="task must be one of"):
        draw("mini/nothing", 0)


def test_the_facts_load_without_torch_or_pictures() -> None:
    code = (
        "import sys, sweeps.tasks.mini;"
        "print([p for p in ('torch', 'timm', 'PIL', 'matplotlib', 'sklearn') if p in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
