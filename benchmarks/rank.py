"""`sweeps rank` on real models and real images against fine-tuning all of them: regret, seconds, share.

    PYTHONPATH=. python benchmarks/rank.py --out /tmp/ranked [--tasks mnist cifar10] [--check]

Fine-tunes nine models of ../shared/real on three tasks first (an hour on one quiet core, once), then ranks each task
from nothing. 112 pixels; 125 steps at two rates, which is what the command does unasked. Everything runs one
job at a time in this process, so seconds are those of one worker. `--check` exits with 1 when the mean relative regret
is above 0.02 or the mean share above 25 %.

* regret: of the best fine-tuned pick, (best - reached) / (1 - reached), test accuracies of the exhaustive sweep.
  `by val` is what a user of that gets, who takes the run that validates best; `lost` the regret of the answer, which
  may be a linear head.
* share: all seconds of the ranking, embedding and checkpoint included, over the seconds of one repeat of everything.
* lean: the same over an exhaustive sweep that looks at the test split for its winner only, as ranking does (from the
  examples that each run passes, a trained one counted three times).
* at 46: models of the same kinds, the same two picks.
"""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from sweeps.config import parse
from sweeps.costs import EVALUATED
from sweeps.hands import How
from sweeps.ranking import Answer, rank
from sweeps.run import run
from sweeps.store import Store
from taskrel.regret import relative_regret

REAL = Path(__file__).parents[2] / "shared" / "real"
INLINE = How(executor="inline")
RECIPE: dict[str, Any] = {
    "learning_rates": [0.03, 0.003],
    "steps": 125,
    "batch": 32,
    "evaluations": 3,
}  # the command's own for 800 images
TASKS = ("imagenette160", "cifar10", "mnist")
MODELS = (
    ("mobilenetv1_100.coral", "mobilenetv1", 0.709), ("mobilenetv2_100.coral", "mobilenetv2", 0.718),
    ("mobilenetv2_100.tf2", "mobilenetv2", 0.718), ("mobilenetv2_100.inat_bird", "mobilenetv2", None),
    ("mbv1_025_q128", "mobilenetv1", 0.415), ("mbv1_050_q160", "mobilenetv1", 0.591),
    ("mbv1_075_q192", "mobilenetv1", 0.672), ("squeezenet1_1", "squeezenet", 0.582),
    ("mbv1_075_coco", "mobilenetv1", None),
)  # fmt: skip
AIM_REGRET, AIM_SHARE, MANY = 0.02, 0.25, 46


def zoo() -> str:
    """The nine models as a zoo file."""
    return "\n".join(
        f'[[model]]\nname = "{name}"\n{_source(name)}\ngroup = "{"expert" if accuracy is None else "imagenet"}"\n'
        f'family = "{family}"\n' + ("" if accuracy is None else f"upstream_accuracy = {accuracy}\n")
        for name, family, accuracy in MODELS
    )  # fmt: skip


def _source(name: str) -> str:
    folder = REAL / "models" / "timm" / name
    if folder.is_dir():
        return f'source = "local-dir:{folder}"'
    return f'source = "factory:realzoo:build"\npath = "{REAL / "models" / "factory"}"\nargs = {{name = "{name}"}}'


def exhaustive(tasks: Sequence[str], out: Path) -> Store:
    """Fine-tune every model on every task; what the folder holds is not measured again."""
    sweep: dict[str, Any] = tomllib.loads(zoo())
    sweep |= {"name": "exhaustive", "proxies": {}, "regret": {"strategies": [], "answer": "agnostic"},
              "task": [{"name": task, "path": str(REAL / "tasks" / "vision" / task)} for task in tasks],
              "embed": {"image_size": 112},
              "finetune": {"repeats": 1, **RECIPE}}  # fmt: skip
    run(parse(sweep, "exhaustive"), out, INLINE)
    return Store(out)


def ranked(task: str, out: Path) -> Answer:
    """`sweeps rank` from nothing."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "zoo.toml").write_text(zoo(), encoding="utf-8")
    over = ["embed.image_size=112", *(f"finetune.{key}={value}" for key, value in RECIPE.items())]
    return rank(REAL / "tasks" / "vision" / task, str(out / "zoo.toml"), out=out / task, overrides=over, how=INLINE)


def line(answer: Answer, truth: Store, test: int) -> dict[str, Any]:
    """One row of the table."""
    every = [row for row in truth.rows("runs") if row["task"] == answer.task]
    runs = sorted((row for row in every if row["status"] == "ok"), key=lambda row: row["val_accuracy"])
    tested = {row["model"]: row["test_accuracy"] for row in runs}  # the last, which validates best
    tuned = [place for place in answer.ranking if place.picked and place.val_accuracy is not None]
    own = Store(answer.out).rows("runs")
    best = max((row for row in own if row["origin"] == "rung" and row["status"] == "ok"),
               key=lambda row: row["val_accuracy"])  # fmt: skip
    reached = next(row["test_accuracy"] for row in runs
                   if (row["model"], row["learning_rate"]) == (best["model"], best["learning_rate"]))  # fmt: skip
    total, some = sum(row["seconds"] for row in every), {kind: took or 0.0 for kind, took in answer.seconds.items()}
    winner = answer.winner
    assert winner is not None
    assert winner.test_accuracy is not None
    passes = EVALUATED * runs[0]["steps"] * runs[0]["batch"] + RECIPE["evaluations"] * 200
    lean = total * (passes + test / len(every)) / (passes + test)
    looking = some.get("sift", 0.0) + some.get("embed", 0.0) + some.get("score", 0.0)
    many = MANY / len(tested)
    return {
        "task": answer.task, "picks": ", ".join(place.model for place in tuned), "best": max(tested.values()),
        "by val": runs[-1]["test_accuracy"],
        "tuned": reached, "lost": max(0.0, float(relative_regret(max(tested.values()), winner.test_accuracy))),
        "regret": float(relative_regret(max(tested.values()), reached)),
        "answer": f"{winner.model}, {winner.method}", "test": winner.test_accuracy,
        "embed": some.get("embed", 0.0), "score": some.get("score", 0.0),
        "tune": some.get("rung", 0.0) + some.get("finetune", 0.0) + some.get("trial", 0.0),
        "end": some["all"] - looking - some.get("rung", 0.0) - some.get("finetune", 0.0) - some.get("trial", 0.0),
        "all": some["all"], "every": total, "share": some["all"] / total, "lean": some["all"] / lean,
        "at 46": (some["all"] + (many - 1) * looking) / (many * total),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder; what it holds is not measured again")
    parser.add_argument("--truth", type=Path, help="folder of the exhaustive sweep (default: <out>/exhaustive)")
    parser.add_argument("--tasks", nargs="*", default=TASKS, help="default: all three")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the aim is missed")
    asked = parser.parse_args()
    truth = exhaustive(asked.tasks, asked.truth or asked.out / "exhaustive")
    rows = [line(ranked(task, asked.out), truth, 1000) for task in asked.tasks]
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    shares = ("share", "lean", "at 46")
    average = {key: mean(row[key] for row in rows) for key in ("regret", "lost", "all", "every", *shares)}
    for row in [*rows, dict.fromkeys(names, "") | {"task": "mean"} | average]:
        print("| " + " | ".join(_shown(key, row[key]) for key in names) + " |")
    if asked.check and (average["regret"] > AIM_REGRET or average["share"] > AIM_SHARE):
        raise SystemExit(1)


def _shown(key: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0%}" if key in ("share", "lean", "at 46") else f"{value:.3f}" if value < 1 else f"{value:.0f}"


if __name__ == "__main__":
    main()
