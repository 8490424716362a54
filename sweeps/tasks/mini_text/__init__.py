"""The embedded text tasks, of the papers' shapes: 800 texts to train, 200 to validate, 500 to test.

`TASKS` are the facts, `draw` the texts. Texts are from the grammar of `sweeps.written`, from the shelves that
pre-training leaves alone. A bag of words (TF-IDF, logistic regression) reaches, at seed 0, test accuracies of 0.63 on
sentiment, 0.41 on reviews, 0.71 on topics, 0.77 on ontology, 0.69 on questions, 0.53 on acceptability, 0.52 on follows.
Knows nothing about models. Importing this loads numpy alone.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.tasks.mini import Facts
from sweeps.written import encyclopaedia, news, opinions, prose, questions
from sweeps.written.pen import Pen
from sweeps.written.sections import pair
from sweeps.written.shelves import from_shelf

Text = str | tuple[str, str]
Splits = dict[str, tuple[list[Text], np.ndarray]]

SIZES: Mapping[str, int] = MappingProxyType({"train": 800, "val": 200, "test": 500})

STARS = ("one star", "two stars", "three stars", "four stars", "five stars")
MOODS = ("very negative", "negative", "neutral", "positive", "very positive")


def _sentiment(pen: Pen, label: int) -> str:
    return opinions.verdict(pen, "film", label)


def _reviews(pen: Pen, label: int) -> str:
    return opinions.review(pen, "dining", label)


def _topics(pen: Pen, label: int) -> str:
    return news.item(pen, news.TOPICS[label])


def _ontology(pen: Pen, label: int) -> str:
    return encyclopaedia.article(pen, tuple(encyclopaedia.KINDS)[label])


def _questions(pen: Pen, label: int) -> str:
    return questions.question(pen, questions.TYPES[label])


def _acceptability(pen: Pen, label: int) -> str:
    return prose.sentence(pen, None if label else pen.pick(prose.FAULTS))


def _follows(pen: Pen, label: int) -> Text:
    return pair(pen, bool(label))


_WRITERS: Mapping[str, Callable[[Pen, int], Text]] = MappingProxyType({
    "text/sentiment": _sentiment, "text/reviews": _reviews, "text/topics": _topics, "text/ontology": _ontology,
    "text/questions": _questions, "text/acceptability": _acceptability, "text/follows": _follows,
})  # fmt: skip


def _facts(name: str, classes: tuple[str, ...], summary: str) -> Facts:
    return Facts(f"text/{name}", "language", classes, SIZES, summary)


TASKS: Mapping[str, Facts] = MappingProxyType({
    facts.name: facts
    for facts in (
        _facts("sentiment", MOODS, "Sentences on films, five moods, by negation and intensity (like SST-5)."),
        _facts("reviews", STARS, "Restaurant reviews, one to five stars, beside opinions of others (like Yelp-5)."),
        _facts("topics", news.TOPICS, "News of four topics, told beside another topic (like AG News)."),
        _facts("ontology", tuple(encyclopaedia.KINDS), "Entries on fourteen kinds, naming others (like DBPedia)."),
        _facts("questions", questions.TYPES, "What a question asks for, six types (like TREC)."),
        _facts("acceptability", ("wrong", "right"), "Whether a sentence is English: agreement, order (like CoLA)."),
        _facts("follows", ("elsewhere", "next"), "Whether a second sentence continues the first (pairs)."),
    )
})  # fmt: skip


def draw(name: str, seed: int) -> Splits:
    """The task's texts and labels: split -> (n texts, int64 [n]), classes even in every split.

    A text is a string, in a pair task two. No text occurs twice in a split or in two splits, and none is open to
    pre-training, whatever the seeds. Each split has its own random stream, made from (task, version, split, seed).

    Raises:
        ValueError: unknown name.
    """
    if name not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {name!r}")
    facts, write = TASKS[name], _WRITERS[name]
    splits: Splits = {}
    for split, size in facts.sizes.items():
        pen = Pen(name, facts.version, split, seed)
        labels = np.array(pen.shuffled([index % len(facts.classes) for index in range(size)]), dtype=np.int64)
        texts: dict[Text, None] = {}
        for label in labels.tolist():
            while (text := from_shelf(split, partial(write, pen, label))) in texts:
                pass
            texts[text] = None
        splits[split] = (list(texts), labels)
    return splits
