"""Our bound and the authors' algorithm on every (model, reference, target) of the embedded zoo, resumable.

    python benchmarks/bound_triples.py                              # all vision triples, few steps of theirs
    python benchmarks/bound_triples.py --part 0/2 --plain           # the first half of them, without aligned maps
    python benchmarks/bound_triples.py --sample 8 --batch 1000 --steps 2001 --head-steps 10001  # a seeded few in full
    python benchmarks/bound_triples.py --models 'mini_*bert*' --tasks 'text/*' --references text/topics
    python benchmarks/bound_triples.py --summary --out ROWS.jsonl --into COPY      # for `sweeps report -o COPY`

`--into` puts the bounds of all references in place of those of a sweep's output, a copy of it: its report then says how
they order its models.

Rows go to `--out` as JSON lines, one per triple and number of steps; what is there already is not computed again. At
the end, and with `--summary` alone, it says over all rows of equal steps in how many cases ours holds, ours is at most
the corrected one, and theirs is below the loss it means to bound or below the corrected bound.

Ours is fitted on the training parts and evaluated, frozen, on the validation parts, as theirs is: once with our
classifier under the cap 0.02 and once with their classifier, so that only the transforms differ.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sweeps.config import parse
from sweeps.jobs.context import Context
from sweeps.jobs.embed import probes
from sweeps.jobs.score import on_device
from sweeps.plan import measurements
from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.types import Job
from sweeps.zoo import registry as zoo_registry
from taskrel.bound.features import Features
from taskrel.bound.fit import Fit, Part, Reference, fit
from taskrel.bound.head import Head
from taskrel.bound.released import Recipe, as_released, released_head
from taskrel.types import BoundTerms, Probe

TAU, PER_CLASS = 0.02, 100
RATE = Recipe(batch=0).head_rate
Splits = dict[str, Probe]
Row = dict[str, Any]


def embeds(models: list[str], tasks: list[str]) -> dict[tuple[str, str], Job]:
    """(model, task) -> the sweep's own forward pass of it."""
    config = parse({"name": "triples", "models": models, "tasks": tasks, "embed": {"batch": 128},
                    "proxies": {"knn": {}}})  # fmt: skip
    found, _ = tasks_registry.resolve(config)
    jobs = measurements(config, zoo_registry.resolve(config), found)
    return {(job.model.name, job.task.name): job for job in jobs if job.kind == "embed"}


def ours(
    ready: Reference, reference: Splits, target: Part, val: Probe, features: Features = "shift"
) -> tuple[Fit, BoundTerms]:
    """The fit, and its terms held out."""
    found = fit(ready, target, tau=TAU, floor=False, features=features)
    return found, found.held_out(reference["val"], val)


def triple(reference: Splits, target: Splits, own: Reference, head: Head, recipe: Recipe, plain: bool) -> Row:
    """One row: ours with either classifier, and theirs; the aligned maps unless it is to be plain."""
    part = Part.of(target["train"], per_class=PER_CLASS)
    found_here, held = ours(own, reference, part, target["val"])
    _, same = ours(Reference(own.part, {TAU: head}), reference, part, target["val"])
    fitted, more = found_here.terms, {} if plain else _aligned(own, reference, part, target["val"])
    began = time.perf_counter()
    found = as_released((reference["train"], reference["val"]), (target["train"], target["val"]), recipe=recipe,
                        head=head)  # fmt: skip
    return {
        "fitted": fitted.total, "fitted_loss": fitted.target_loss, "start": found_here.start.total,
        "ours": held.total, "ours_projected": held.total_projected, "logits": held.total_logits,
        "ours_loss": held.target_loss, "trivial": held.trivial,
        "same_head": same.total, "same_head_loss": same.target_loss, "corrected": found.corrected.total,
        "corrected_loss": found.corrected.target_loss, "reported": found.reported, "reported_loss": found.target_loss,
        "lipschitz": held.tau, "their_lipschitz": head.tau, "seconds": found_here.seconds,
        "released_seconds": time.perf_counter() - began, **more,
    }  # fmt: skip


def _aligned(own: Reference, reference: Splits, part: Part, val: Probe) -> Row:
    turned, aligned = ours(own, reference, part, val, "aligned")
    return {"aligned_fitted": turned.terms.total_logits, "aligned_fitted_loss": turned.terms.target_loss,
            "aligned_start": turned.start.total_logits, "aligned": aligned.total_logits,
            "aligned_loss": aligned.target_loss, "aligned_seconds": turned.seconds}  # fmt: skip


def measure(options: argparse.Namespace, out: Path) -> None:
    jobs, done = embeds(options.models, options.tasks), {key(row) for row in rows(out)}
    models, tasks = (list(dict.fromkeys(names)) for names in zip(*jobs, strict=True))
    context = Context(cache=options.cache, device="cpu")
    # In a random order, so that a run cut short is a fair sample; of one model and reference together.
    couples = [(m, r) for m in models for r in tasks if (m, r) in jobs and r in (options.references or tasks)]
    random = np.random.default_rng(0)
    first, parts = (int(number) for number in options.part.split("/"))
    triples = [(*couples[place], t) for place in random.permutation(len(couples))[first::parts] for t in tasks
               if t != couples[place][1] and (couples[place][0], t) in jobs]  # fmt: skip
    if options.sample:
        triples = [triples[place] for place in np.sort(random.permutation(len(triples))[: options.sample])]
    asked = {"batch": options.batch, "steps": options.steps, "head_steps": options.head_steps}
    triples = [each for each in triples if (*each, *asked.values()) not in done]
    print(f"{len(triples)} triples to do", flush=True)
    recipe = Recipe(batch=options.batch, steps=options.steps, head_steps=options.head_steps)
    last: tuple[str, str] | None = None
    with out.open("a") as file:
        for model, one, two in triples[: options.limit]:
            reference, target = (on_device(probes(jobs[model, task], context), options.device) for task in (one, two))
            if last != (model, one):
                own = Reference.of(reference["train"], taus=(TAU,), per_class=PER_CLASS)
                head, rate = released_head(Part.of(reference["train"], per_class=None).sample, recipe)
                last = model, one
            row = triple(reference, target, own, head, recipe, options.plain)
            names = {"model": model, "reference": one, "target": two, "head_rate": rate, **asked}
            file.write(json.dumps(names | row) + "\n")
            file.flush()


def key(row: Row) -> tuple[str | int, ...]:
    """What makes a row the same measurement."""
    return tuple(row[name] for name in ("model", "reference", "target", "batch", "steps", "head_steps"))


def rows(out: Path) -> list[Row]:
    """What has been measured."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def summary(found: Iterable[Row]) -> Iterator[str]:
    """One paragraph per number of steps."""
    groups: dict[tuple[str, int, int, int], list[Row]] = {}
    for row in found:
        kind = row["target"].split("/")[0]
        groups.setdefault((kind, row["batch"], row["steps"], row["head_steps"]), []).append(row)
    for (kind, batch, steps, head_steps), group in groups.items():
        shared = set.intersection(*(set(row) for row in group))  # rows that are plain have less
        table = {name: np.array([row[name] for row in group], dtype=float) for name in group[0]
                 if name in shared and isinstance(group[0][name], float)}  # fmt: skip
        n, near = len(group), 1e-9
        slow = sum(row.get("head_rate", RATE) < RATE for row in group)
        yield (f"{n} triples of {kind}; theirs with {steps} steps of {batch} examples, "
               f"{head_steps} steps of the classifier, at a tenth of its rate in {slow}")  # fmt: skip
        for name in ("fitted", "ours", "logits", "same_head", "aligned_fitted", "aligned", "corrected", "reported"):
            if name not in table:
                continue
            loss = table["ours_loss" if name == "logits" else f"{name}_loss"]
            yield (f"  {name}: not a bound in {np.mean(table[name] < loss - near):.1%}, says more than guessing in "
                   f"{np.mean(table[name] < table['trivial']):.1%}, median {np.median(table[name]):.3f}")  # fmt: skip
        for name, start in (("fitted", "start"), ("aligned_fitted", "aligned_start")):
            if name in table:
                yield f"  {name} above its start: {int((table[name] > table[start] + near).sum())}"
        for name in ("ours", "same_head", "aligned"):
            if name not in table:
                continue
            above, ratio = table[name] > table["corrected"] + near, table["corrected"] / table[name]
            yield (f"  {name} above the corrected one: {int(above.sum())}; corrected / {name}: median "
                   f"{np.median(ratio):.2f}, least {ratio.min():.3f}")  # fmt: skip
        yield f"  reported / ours: median {np.median(table['reported'] / table['ours']):.2f}"
        yield (f"  reported is below the loss at the true inverse: "
               f"{np.mean(table['reported'] < table['corrected_loss']):.1%}, below the corrected bound: "
               f"{np.mean(table['reported'] < table['corrected']):.1%}")  # fmt: skip
        yield "  seconds, without any classifier: " + ", ".join(
            f"{name} {np.median(table[name]):.2f}" for name in ("seconds", "aligned_seconds", "released_seconds")
            if name in table)  # fmt: skip


def replace_bounds(store: Store, found: Iterable[Row]) -> None:
    """Make these the bounds of a sweep's output. `logits` are the held-out ones: others are not measured here."""
    planned = {row["model"]: row["job"] for row in store.rows("plan") if row["kind"] == "bound"}
    made: list[Row] = []
    for row in found:
        about = {"job": planned[row["model"]], "model": row["model"], "reference": row["reference"],
                 "task": row["target"], "tau": TAU, "trivial": row["trivial"]}  # fmt: skip
        made.append(about | {"mode": "labelled", "total": row["fitted"], "target_loss": row["fitted_loss"],
                             "held_out": row["ours"], "logits": row["logits"], "seconds": row["seconds"]})  # fmt: skip
        made.append(about | {"mode": "released", "total": row["corrected"], "target_loss": row["corrected_loss"],
                             "reported": row["reported"], "seconds": row["released_seconds"]})  # fmt: skip
    for part in (store.folder / "bounds").glob("*.parquet"):
        part.unlink()
    store.write("bounds", "all", made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mini_*"])
    parser.add_argument("--tasks", nargs="+", default=["mini/*"])
    parser.add_argument("--references", nargs="+", help="all tasks where not given")
    parser.add_argument("--steps", type=int, default=100, help="of the authors' 2001 transform steps")
    parser.add_argument("--batch", type=int, default=200, help="examples in each, of the authors' 1000")
    parser.add_argument("--head-steps", type=int, default=1000, help="of their 10001 classifier steps")
    parser.add_argument("--sample", type=int, help="so many triples only, drawn with a seed")
    parser.add_argument("--limit", type=int, help="stop after so many new triples")
    parser.add_argument("--part", default="0/1", help="i/n: the i-th of n equal parts, for n processes")
    parser.add_argument("--plain", action="store_true", help="no aligned maps, which take half of the time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, default=Path("out/bound_triples"), help="features are kept there")
    parser.add_argument("--out", type=Path, default=Path("out/bound_triples/triples.jsonl"))
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    parser.add_argument("--into", type=Path, help="copy of a sweep's output that gets these bounds for its own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not options.summary:
        measure(options, options.out)
    print("\n".join(summary(rows(options.out))))
    if options.into:
        replace_bounds(Store(options.into), rows(options.out))


if __name__ == "__main__":
    main()
