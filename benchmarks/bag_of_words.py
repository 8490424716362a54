"""What no language model is needed for: a bag of words on the text tasks of a sweep file.

    python benchmarks/bag_of_words.py [ray_configs/sweeps/mini_language.toml ...]

TF-IDF of the words of the training split, logistic regression with C of 1 or 10, whichever is better on validation;
test accuracy, with word pairs too in the second number. The rows "bag of words" of docs/language.md are these.
"""

import sys
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sweeps.config import load
from sweeps.tasks.registry import resolve
from sweeps.tasks.texts import Split, split_of
from sweeps.types import Task

SWEEPS = Path(__file__).parents[1] / "ray_configs" / "sweeps"


def accuracy(task: Task, longest: int) -> float:
    """Test accuracy with runs of at most so many words."""
    parts = {split: split_of(task, split) for split in ("train", "val", "test")}
    words = {split: _as_one(part) for split, part in parts.items()}
    tried = []
    for strength in (1, 10):
        model = make_pipeline(TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, longest)),
                              LogisticRegression(C=strength, max_iter=1000))  # fmt: skip
        model.fit(words["train"], parts["train"].labels)
        score = {split: model.score(words[split], parts[split].labels) for split in ("val", "test")}
        tried.append((score["val"], -strength, score["test"]))
    return float(max(tried)[2])


def _as_one(part: Split) -> list[str]:
    return part.texts if part.pairs is None else [" ".join(pair) for pair in zip(part.texts, part.pairs, strict=True)]


def main() -> None:
    for file in [Path(name) for name in sys.argv[1:]] or [SWEEPS / "mini_language.toml", SWEEPS / "real_text.toml"]:
        tasks, faults = resolve(load(file))
        for task in (task for task in tasks if task.modality == "text"):
            one, two = (accuracy(task, longest) for longest in (1, 2))
            print(f"{file.stem:>14} {task.name:<20} words {one:.3f}   and pairs {two:.3f}")
        for line in faults.values():
            print(line)


if __name__ == "__main__":
    main()
