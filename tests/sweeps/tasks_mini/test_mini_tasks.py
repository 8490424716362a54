"""The embedded tasks: reproducible, disjoint, balanced, and structured ones labelled by their known factor."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from sweeps.drawn.canvas import generator
from sweeps.tasks.mini import SIZES, TASKS, draw, natural, structured


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


@pytest.mark.parametrize("name", ["mini/digits", "mini/location", "mini/distance"])
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
    assert [groups.count(group) for group in ("natural", "specialized", "structured")] == [4, 2, 4]
    assert all(name == facts.name for name, facts in TASKS.items())


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
