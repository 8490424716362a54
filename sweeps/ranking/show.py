"""What ``sweeps rank`` says in the terminal: the plan before, the answer after."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from sweeps.outlook import outlook, show_outlook
from sweeps.ranking.answer import Answer
from sweeps.ranking.prepare import Prepared
from sweeps.report import words

MOST = 15  # models shown; the rest is in the report


def show_plan(console: Console, ready: Prepared) -> None:
    """What will be done and what it costs; nothing is asked."""
    show_outlook(console, outlook(ready.config, ready.out, ready.planned), ready.out)
    how = ready.how
    if ready.halving:
        console.print(ready.halving, markup=False, highlight=False, soft_wrap=True)
    if how.max_seconds is not None:
        console.print(f"at most {how.max_seconds:g} s: no job begins that would not end in time", highlight=False)
    if how.max_device_seconds is not None:
        console.print(f"at most {how.max_device_seconds / 3600:g} GPU hours of all workers together", highlight=False)


def show_answer(console: Console, found: Answer) -> None:
    """The ranking, the winner, how sure, what was reused and where everything lies."""
    console.print()
    wide = max((len(place.model) for place in found.ranking[:MOST]), default=0)
    for place in found.ranking[:MOST]:
        won = found.winner is not None and place.model == found.winner.model
        mark = "*" if won else "+" if place.val_accuracy is not None else " "
        line = Text(f"{mark} {words.printable(place.model):<{wide}}  ", "bold cyan" if won else "")
        line.append(words.printable(place.reason), "dim")
        if place.chance_first:
            line.append(f", first in {words.percent(place.chance_first, 0)} of resamples", "dim")
        if place.val_accuracy is not None:
            line.append(f"; fine-tuned: {words.percent(place.val_accuracy)} on validation", "")
        console.print(line, soft_wrap=True)
    if len(found.ranking) > MOST:
        console.print(f"and {len(found.ranking) - MOST} further models, all in the report", highlight=False)
    console.print()
    _winner(console, found)
    if found.reused and any(found.reused.values()):
        now = f"; measured now: {_counts(found.ran)}" if found.ran else ""
        console.print(f"reused: {_counts(found.reused)}{now}", highlight=False)
    for failure in found.failures:
        console.print(Text("failed: ", "red").append(words.printable(failure), ""), soft_wrap=True)
    for note in found.notes:
        console.print(Text("note: ", "yellow").append(words.printable(note), ""), soft_wrap=True)
    _place(console, "checkpoint", found.checkpoint)
    _place(console, "report", found.report)


def _winner(console: Console, found: Answer) -> None:
    won = found.winner
    if won is not None:
        how = (f" fine-tuned at learning rate {won.learning_rate:g}" if won.method == "fine-tuned"
               else " as it is, with a linear head, which validates better than what was fine-tuned")  # fmt: skip
        console.print(Text.assemble(
            "Use ", (won.model, "bold cyan"), how, ": test accuracy ",
            (words.within(won.test_accuracy, won.low, won.high), "bold"),
            f" ({won.right} of {won.examples}; 95 %)"))  # fmt: skip
    elif found.ranking:
        console.print(Text.assemble("Fine-tune ", (found.ranking[0].model, "bold cyan"), " first."))
    if found.within_a_point is not None:
        console.print(f"chance that no model of this zoo is more than a point better: "
                      f"{words.percent(found.within_a_point, 0)}", highlight=False)  # fmt: skip
    took, every = found.seconds["all"], found.seconds.get("exhaustive")
    if took is not None:
        share = f"; fine-tuning all {len(found.ranking)} models would take about {every:.0f} s" if every else ""
        console.print(f"{took:.0f} s of work{share}", highlight=False)


def _counts(counts: object) -> str:
    items = counts.items() if isinstance(counts, dict) else ()
    return ", ".join(f"{number} {kind}" for kind, number in items if number)


def _place(console: Console, what: str, path: Path | str | None) -> None:
    if path is not None:
        console.print(Text(f"{what:<11}", "bold").append(str(path)), soft_wrap=True)
