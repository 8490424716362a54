"""The text tasks of the papers as Hugging Face datasets: ids, columns and splits, as data. Loads nothing.

Where a repository's own files need a script, which is never run, the hub's conversion to Parquet is read instead.
GLUE's test labels are not public, so its validation split is the test here and a fifth of train the validation; the
same holds where a dataset has train and test alone.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sweeps.settings import TaskEntry

_GLUE_SPLITS = {"train": "train", "test": "validation"}
# name -> text column, second text column, what it asks
_GLUE: Mapping[str, tuple[str, str | None, str]] = {
    "cola": ("sentence", None, "Is the sentence acceptable English?"),
    "sst2": ("sentence", None, "Is the review of a film positive?"),
    "mrpc": ("sentence1", "sentence2", "Do two sentences of the news mean the same?"),
    "qqp": ("question1", "question2", "Are two questions the same?"),
    "mnli": ("premise", "hypothesis", "Does the premise entail the hypothesis, contradict it, or neither?"),
    "qnli": ("question", "sentence", "Does the sentence answer the question?"),
    "rte": ("sentence1", "sentence2", "Does the first sentence entail the second?"),
    "wnli": ("sentence1", "sentence2", "Does the pronoun stand for what the second sentence says?"),
}


def _entry(name: str, dataset: str, text: str = "text", **more: object) -> TaskEntry:
    return TaskEntry.model_validate(
        {"name": f"hub/{name}", "dataset": dataset, "text": text, "group": "language", **more}
    )


HUB_TASKS: Mapping[str, TaskEntry] = MappingProxyType({
    entry.name: entry for entry in (
        _entry("yelp5", "Yelp/yelp_review_full", summary="Stars of a review, one to five."),
        _entry("sst5", "SetFit/sst5", summary="Sentiment of a sentence on a film, five grades."),
        _entry("ag_news", "fancyzhx/ag_news", summary="Topic of a news item, four of them."),
        _entry("dbpedia", "fancyzhx/dbpedia_14", text="content", summary="Kind of a thing in Wikipedia, fourteen."),
        _entry("trec", "CogComp/trec", label="coarse_label", revision="refs/convert/parquet",
               summary="What a question asks for, six kinds."),
        *(_entry(f"glue_{name}", "nyu-mll/glue", text=text, pair=pair, subset=name, summary=summary,
                 splits=_GLUE_SPLITS if name != "mnli" else {"train": "train", "test": "validation_matched"})
          for name, (text, pair, summary) in _GLUE.items()),
    )
})  # fmt: skip
