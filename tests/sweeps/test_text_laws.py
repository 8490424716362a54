"""What every proxy and the bound must obey, on features of embedded language models in place of drawn ones."""

import itertools

import numpy as np
import pytest
import torch

from sweeps.jobs import bound, embed
from sweeps.jobs.context import Context
from sweeps.settings import BOUND_TAUS, Bound, Embed
from sweeps.tasks.registry import embedded as tasks
from sweeps.types import Job
from sweeps.zoo.registry import embedded as zoo
from taskrel.proxies import PROXIES
from taskrel.types import CannotScore, Probe

SETTINGS = {"batch": 64, **Embed().view("text")}
SHORT = {"linear": {"steps": 60, "batch": 32, "repeats": 2}}
MODELS = ("mini_distilbert_bpe.moods", "mini_gpt2_bpe.clm")  # an encoder with a classifier, a decoder without
every_proxy = pytest.mark.parametrize("name", PROXIES)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return Context(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def features(context):
    """Probes of train and validation by (model, task), cut to what a law needs."""

    def cut(part, size):
        probs = None if part.source_probs is None else part.source_probs[:size]
        return Probe(part.features[:size], part.labels[:size], probs)

    found = {}
    for model in MODELS:
        for task in ("text/sentiment", "text/topics"):
            job = embed.embed_job(zoo()[model], tasks()[task], SETTINGS)
            whole = embed.probes(job, context)
            found[model, task] = cut(whole["train"], 120), cut(whole["val"], 60)
    return found


def score(name, features, model, change=lambda part: part, *, seed=0):
    train, val = (change(part) for part in features[model, "text/sentiment"])
    options = dict(SHORT.get(name, {}))
    if "reference" in PROXIES[name].needs:
        options["reference"] = features[model, "text/topics"][0]
    return PROXIES[name].score(train, val, seed=seed, **options).value


def near(name, value):
    """As rounding allows: features are of single precision, and an accuracy may hang on one example."""
    return pytest.approx(value, rel=1e-3, abs=1e-3 + (1 / 60 if PROXIES[name].range == (0, 1) else 0))


@every_proxy
def test_every_proxy_scores_texts_within_its_range_and_the_same_again(name, features):
    low, high = PROXIES[name].range
    value = score(name, features, MODELS[0])
    assert low <= value <= high
    assert score(name, features, MODELS[0]) == value
    if "source_probs" in PROXIES[name].needs:
        with pytest.raises(CannotScore, match=f"{name} needs source-head probabilities"):
            score(name, features, MODELS[1])
    else:
        assert low <= score(name, features, MODELS[1]) <= high


@every_proxy
def test_names_and_order_do_not_matter_and_nothing_is_written(name, features):
    parts = features[MODELS[0], "text/sentiment"]
    kept = [torch.as_tensor(part.features).clone() for part in parts]
    value = score(name, features, MODELS[0])
    names = np.array([7, -3, 40, 0, 12])

    def renamed(part):
        return Probe(part.features, names[np.asarray(part.labels)], part.source_probs)

    def turned(part):  # training draws its batches by place
        order = np.arange(len(part)) if PROXIES[name].cost == "training" else np.arange(len(part))[::-1].copy()
        return Probe(*(torch.as_tensor(each)[order] for each in (part.features, part.labels, part.source_probs)))

    assert score(name, features, MODELS[0], renamed) == near(name, value)
    assert score(name, features, MODELS[0], turned) == near(name, value)
    assert all(torch.equal(torch.as_tensor(part.features), old) for part, old in zip(parts, kept, strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_the_bound_holds_between_text_tasks_labelled_and_not(model, context):
    """A reference task, a target: above the loss, the sum of its terms, and no lower where the cap is lower."""
    asked = Bound(references=("text/topics",), taus=BOUND_TAUS, per_class=20)
    settings = asked.model_dump(exclude={"references", "taus", "search"})
    settings |= {"taus": list(asked.caps), "seed": 0, "embed": SETTINGS}
    job = Job("bound", 1, zoo()[model], tasks()["text/sentiment"], settings, tasks()["text/topics"])
    rows = bound.run(job, context)["bounds"]
    assert {row["mode"] for row in rows} == {"labelled", "unlabelled", "aligned"}
    for row in rows:
        assert row.get("reason") is None
        parts = row["reference_loss"] + row["label_mismatch"] + row["distribution_mismatch"]
        assert row["total"] == pytest.approx(parts, rel=1e-9)
        assert row["distribution_mismatch"] == pytest.approx(row["lipschitz"] * row["wasserstein"], rel=1e-6)
        assert row["lipschitz"] <= (1 if row["mode"] == "aligned" else row["tau"]) * (1 + 1e-6)  # logits have 1
    labelled = [row for row in rows if row["mode"] == "labelled"]
    for row in labelled:  # each tighter form is at most the looser one, and all are above the loss
        forms = [row["total"], row["by_label"], row["projected"], row["target_loss"]]
        assert all(looser >= tighter - 1e-6 for looser, tighter in itertools.pairwise(forms))
    losses = [row["reference_loss"] for row in labelled]
    assert losses == sorted(losses, reverse=True)
