"""The text tasks: reproducible, balanced, no text in two splits, and no bag of words solves or misses them all."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sweeps.tasks.mini_text import SIZES, TASKS, draw
from sweeps.written.shelves import shelf

# Test accuracy of the bag of words, as docs/language.md states it; the range allows for other seeds.
BAG_OF_WORDS = {
    "text/sentiment": (0.50, 0.68), "text/reviews": (0.35, 0.55), "text/topics": (0.62, 0.80),
    "text/ontology": (0.62, 0.82), "text/questions": (0.60, 0.80), "text/acceptability": (0.45, 0.60),
    "text/follows": (0.43, 0.58),
}  # fmt: skip


@cache
def _drawn(name: str):
    return draw(name, 0)


@pytest.mark.parametrize("name", list(TASKS))
def test_sizes_types_and_classes_are_as_the_facts_say(name: str) -> None:
    facts, splits = TASKS[name], _drawn(name)
    assert facts.name == name
    assert facts.group == "language"
    assert list(splits) == list(facts.sizes) == list(SIZES)
    kind = tuple if name == "text/follows" else str
    for split, (texts, labels) in splits.items():
        assert len(texts) == len(labels) == facts.sizes[split]
        assert all(type(text) is kind for text in texts)
        assert labels.dtype == np.int64
        counts = np.bincount(labels, minlength=len(facts.classes))
        assert len(counts) == len(facts.classes)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", list(TASKS))
def test_no_text_occurs_twice_and_each_is_on_its_splits_shelf(name: str) -> None:
    splits = _drawn(name)
    texts = [text for texts, _ in splits.values() for text in texts]
    assert len(set(texts)) == len(texts) == sum(TASKS[name].sizes.values())
    for split, (texts, _) in splits.items():
        assert {shelf(text) for text in texts} == {split}


@pytest.mark.parametrize("name", ["text/sentiment", "text/topics", "text/acceptability"])
def test_the_same_seed_draws_the_same_and_another_does_not(name: str) -> None:
    np.random.seed(1)  # the global stream must not matter
    again, other = draw(name, 0), draw(name, 1)
    for split, (texts, labels) in _drawn(name).items():
        assert again[split][0] == texts
        np.testing.assert_array_equal(again[split][1], labels)
        assert other[split][0] != texts
    # Whatever the seeds, what is trained on is not tested on.
    assert not set(other["train"][0]) & set(again["test"][0])


@pytest.mark.parametrize("name", list(TASKS))
def test_a_bag_of_words_neither_solves_nor_ignores_a_task(name: str) -> None:
    (train, train_labels), _, (test, test_labels) = _drawn(name).values()
    model = make_pipeline(TfidfVectorizer(token_pattern=r"\w+"), LogisticRegression(C=10, max_iter=500))
    as_one = [[text if isinstance(text, str) else " ".join(text) for text in texts] for texts in (train, test)]
    accuracy = model.fit(as_one[0], train_labels).score(as_one[1], test_labels)
    low, high = BAG_OF_WORDS[name]
    assert low <= accuracy <= high, accuracy


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="task must be one of"):
        draw("text/nothing", 0)


def test_the_facts_load_without_torch_or_transformers() -> None:
    code = (
        "import sys, sweeps.tasks.mini_text;"
        "print([p for p in ('torch', 'transformers', 'tokenizers', 'sklearn') if p in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
