"""``bound``: task-relatedness of one (model, reference, target) from cached features. No forward pass.

One row of ``bounds`` per cap tau with target labels, one more in logits at the aligned map, one without labels, and one
for the authors' algorithm.
Everything is fitted on the training parts; ``held_out`` is the same bound, transforms frozen, on the validation parts.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, probes
from sweeps.jobs.score import on_device
from sweeps.settings import BOUND_TAUS
from sweeps.types import Job, Row, Task
from taskrel.bound.choose import choose, restrict
from taskrel.bound.fit import Fit, Part, Reference, curve, fit
from taskrel.bound.head import Head
from taskrel.bound.released import RECIPES, Recipe, as_released, penalised_head, released_head
from taskrel.bound.unlabelled import fit_unlabelled
from taskrel.types import BoundTerms, CannotScore, Probe

Splits = dict[str, Probe]


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Bound; what is undefined here is a row without numbers, with its reason."""
    assert job.reference is not None
    settings = job.settings
    target, reference = _splits(job, job.task, context), _splits(job, job.reference, context)
    try:
        reference = _chosen(job, reference, target)
        rows = _labelled(job, context, reference, target)
    except CannotScore as error:
        return {"bounds": [_row(job, "labelled", tau, reason=str(error)) for tau in settings["taus"]]}
    if settings["unlabelled"]:
        rows += _unlabelled(job, context, reference, target)
    if settings["released"]:
        rows.append(_released(job, context, reference, target))
    return {"bounds": rows}


def trial(job: Job, context: Context) -> dict[str, list[Row]]:
    """One cap of a search; by the penalty recipe at one learning rate too."""
    assert job.reference is not None
    settings, tau = job.settings, job.settings["tau"]
    target, reference = _splits(job, job.task, context), _splits(job, job.reference, context)
    reference = _chosen(job, reference, target)
    made = {"per_class": settings["per_class"], "seed": settings["seed"]}
    row = _row(job, "searched", tau, head=settings["head"], learning_rate=settings.get("learning_rate"),
               search=settings["search"], trial=settings["trial"])  # fmt: skip
    if settings["head"] == "penalty":
        part = Part.of(reference["train"], **made)
        recipe = Recipe(batch=0, head_steps=settings["steps"], head_rate=settings["learning_rate"], tau=tau)
        try:
            head = penalised_head(part.sample, recipe, seed=settings["seed"])
        except CannotScore as reason:
            return {"bounds": [row | {"reason": str(reason)}]}
        ready = Reference(part, {tau: head})
    else:
        ready = Reference.of(reference["train"], taus=(tau,), **made)
    found = fit(ready, target["train"], tau=tau, features=settings["features"], floor=False, **made)
    row |= _terms(found.terms) | _classes(found) | {"start": found.start.total}
    return {"bounds": [row | _held_out(found, reference["val"], target["val"])]}


def _chosen(job: Job, reference: Splits, target: Splits) -> Splits:
    """The reference, of the classes that are to be used."""
    settings = job.settings
    names = choose(reference["train"], target["train"], how=settings["classes"], count=settings["count"],
                   seed=settings["seed"])  # fmt: skip
    return {split: restrict(part, names) for split, part in reference.items()}


def _splits(job: Job, task: Task, context: Context) -> Splits:
    embedded = embed_job(job.model, task, job.settings["embed"])
    return context.keep(job.model, embedded.id, lambda: on_device(probes(embedded, context), context.device))


def _reference(job: Job, context: Context, part: Probe) -> Reference:
    """Made ready once for all targets, unless its classes depend on the target."""
    assert job.reference is not None
    settings = job.settings

    def make() -> Reference:
        return Reference.of(part, taus=settings["taus"], per_class=settings["per_class"], seed=settings["seed"])

    if settings["classes"] == "related":
        return make()
    embedded = embed_job(job.model, job.reference, settings["embed"])
    key = [embedded.id, settings["classes"], settings["taus"], settings["per_class"], settings["seed"]]
    if settings["classes"] == "random":
        key.append(settings["count"] or len(job.task.classes))
    return context.keep(job.model, f"reference {key}", make)


def _labelled(job: Job, context: Context, reference: Splits, target: Splits) -> list[Row]:
    settings = job.settings
    ready = _reference(job, context, reference["train"])
    part = Part.of(target["train"], per_class=settings["per_class"], seed=settings["seed"])
    rows = []
    for found in curve(ready, part, taus=settings["taus"], features=settings["features"], floor=True,
                       seed=settings["seed"]):  # fmt: skip
        row = _row(job, "labelled", found.tau, seconds=found.seconds) | _terms(found.terms) | _classes(found)
        rows.append(row | {"start": found.start.total} | _held_out(found, reference["val"], target["val"]))
    if settings["aligned"]:
        for found in curve(ready, part, taus=settings["taus"], features="aligned", seed=settings["seed"]):
            row = _row(job, "aligned", found.tau, seconds=found.seconds) | _in_logits(found.terms) | _classes(found)
            held = _held_out(found, reference["val"], target["val"], in_logits=True)
            rows.append(row | {"start": found.start.total_logits} | held)
    return rows


def _held_out(found: Fit, reference: Probe, target: Probe, *, in_logits: bool = False) -> Row:
    """The bound on examples it was not fitted to; nothing where a class is missing among them."""
    try:
        terms = found.held_out(reference, target)
    except ValueError:
        return {"held_out": None, "held_out_loss": None}
    return {"held_out": terms.total_logits if in_logits else terms.total, "held_out_loss": terms.target_loss}


def _unlabelled(job: Job, context: Context, reference: Splits, target: Splits) -> list[Row]:
    settings = job.settings
    ready, rows = _reference(job, context, reference["train"]), []
    for tau in BOUND_TAUS[:1]:
        began = time.perf_counter()
        classes, prior = len(job.task.classes), settings["prior"]
        if settings["start"] == "reference" and classes > len(ready.part.names):
            reason = f"pseudo-labels by the reference need {classes} classes of it, got {len(ready.part.names)}"
            rows.append(_row(job, "unlabelled", tau, reason=reason))
            continue
        if prior == "given":
            prior = np.unique(target["train"].labels, return_counts=True)[1]
        found = fit_unlabelled(ready, target["train"].features, classes=classes, prior=prior, start=settings["start"],
                               tau=tau, map_features=settings["features"], per_class=settings["per_class"],
                               seed=settings["seed"])  # fmt: skip
        row = _row(job, "unlabelled", tau, seconds=time.perf_counter() - began) | _terms(found.fit.terms)
        # Against pseudo-labels these two say nothing of the task.
        rows.append(row | _classes(found.fit) | {"target_loss": None, "target_accuracy": None,
                                                 "confidence": found.confidence,
                                                 "spread": float(np.ptp(found.totals))})  # fmt: skip
    return rows


def _released(job: Job, context: Context, reference: Splits, target: Splits) -> Row:
    """The authors' algorithm, with fewer steps of its loop; its classifier, all steps, is the same for all targets."""
    assert job.reference is not None
    settings, began = job.settings, time.perf_counter()
    mode = settings["released_mode"]
    if mode != "LearnedAll" and len(reference["train"].classes) < len(job.task.classes):
        reason = f"{mode} needs {len(job.task.classes)} reference classes, got {len(reference['train'].classes)}"
        return _row(job, "released", BOUND_TAUS[0], reason=reason)

    def make() -> tuple[Head, float]:
        recipe = replace(RECIPES["rn18"], head_steps=settings["released_head"])
        return released_head(Part.of(reference["train"], per_class=None).sample, recipe, seed=settings["seed"])

    classes = "" if settings["classes"] == "all" else reference["train"].classes.tolist()
    key = f"penalised {job.model.content} {job.reference.content} {classes} {settings['released_head']}"
    try:
        head, rate = context.keep(job.model, key, make)
    except CannotScore as why:
        return _row(job, "released", BOUND_TAUS[0], reason=str(why))
    found = as_released((reference["train"], reference["val"]), (target["train"], target["val"]), head=head,
                        mode=mode, steps=settings["released"], seed=settings["seed"])  # fmt: skip
    row = _row(job, "released", BOUND_TAUS[0], learning_rate=rate, seconds=time.perf_counter() - began)
    row |= _terms(found.corrected)
    return row | {"reported": found.reported, "holds": found.holds, "target_loss": found.target_loss,
                  "target_accuracy": found.target_accuracy}  # fmt: skip


def _row(job: Job, mode: str, tau: float, **more: Any) -> Row:
    assert job.reference is not None
    return {"job": job.id, "model": job.model.name, "reference": job.reference.name, "task": job.task.name,
            "mode": mode, "tau": tau, **more}  # fmt: skip


def _classes(found: Fit) -> Row:
    return {"classes_reference": len(found.used), "classes": len(found.target.names)}


def _terms(terms: BoundTerms) -> Row:
    return {
        "total": terms.total, "reference_loss": terms.reference_loss, "label_mismatch": terms.label_mismatch,
        "distribution_mismatch": terms.distribution_mismatch, "lipschitz": terms.tau, "wasserstein": terms.wasserstein,
        "by_label": terms.total_by_label, "projected": terms.total_projected,
        "logits": terms.total_logits, "trivial": terms.trivial,
        "vacuous": terms.vacuous, "floor": terms.floor_mismatch, "target_loss": terms.target_loss,
        "target_accuracy": terms.target_accuracy, "gap": terms.gap, "residual_prior": terms.residual_prior,
        "residual_inverse": terms.residual_inverse,
    }  # fmt: skip


def _in_logits(terms: BoundTerms) -> Row:
    """The terms where the third is a distance of logits, in which the loss has the constant 1."""
    return _terms(terms) | {
        "total": terms.total_logits, "distribution_mismatch": terms.logits_mismatch, "lipschitz": 1.0,
        "wasserstein": terms.logits_mismatch, "by_label": None, "projected": None,
        "vacuous": terms.total_logits >= terms.trivial - 1e-9, "floor": None,
    }  # fmt: skip
