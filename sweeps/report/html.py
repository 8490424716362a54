"""One self-contained HTML page: answers first, evidence below, what is missing said in words. No external request."""

import base64
import hashlib
import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from sweeps.errors import OutputError
from sweeps.report import figures, tables, words
from sweeps.report.analysis import Derived
from sweeps.report.evidence import Evidence
from sweeps.report.sections import Picture, pictures, sections
from sweeps.types import Row

FILE = "report.html"
MOST_SENTENCES = 8  # above, a summary and the picture come first


class Answered(NamedTuple):
    """The answers on the tasks of one kind, images or texts; without a title where there is only one kind."""

    title: str
    lead: str
    sentences: Sequence[Sequence[words.Part]]
    pictures: Sequence[Picture]
    narrow: Sequence[Picture]


def write_report(out: Path, derived: Derived, *, name: str = "", config: str = "") -> Path:
    """Write ``OUT/report.html``, whole or not at all.

    Args:
        out: the folder to write into.
        derived: what :func:`sweeps.report.analysis.analyse` found.
        name: the name of the sweep.
        config: the configuration as text, shown as it is.

    Raises:
        OutputError: when the file cannot be written.
    """
    path = Path(out) / FILE
    temporary = path.with_name(f".tmp-{FILE}-{uuid.uuid4().hex}")
    text = page(derived, name=name, config=config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"the report must be writable at {path}, got: {error.strerror}") from None
    return path


def page(derived: Derived, *, name: str = "", config: str = "") -> str:
    """The page as text."""
    rows, evidence = derived.tables, derived.evidence
    return _template().render(
        title=name or "model sweep",
        status=_status(evidence),
        banner=_banner(evidence),
        parts=parts(evidence, rows),
        no_answer=_no_answer(evidence),
        remarks=tables.remarks(rows["answer"]),
        answer_table=tables.answers(rows["answer"]) if any(row["model"] for row in rows["answer"]) else None,
        sections=sections(evidence, rows, derived.order, derived.notes),
        filters=_filters(derived),
        known={row["model"]: [row["group"], [pool for pool, names in derived.pools.items() if row["model"] in names]]
               for row in evidence.models},
        provenance=_provenance(evidence),
        config=config,
    )  # fmt: skip


def _filters(derived: Derived) -> dict[str, list[str]]:
    """What the reader may choose from, by what is chosen; nothing to choose from is left out."""
    rows = [*derived.tables["strategies"], *derived.tables["regret"]]
    found = {
        "pool": list(dict.fromkeys(row["pool"] for row in rows)),
        "group": list(dict.fromkeys(row["group"] for row in derived.evidence.models if row["group"])),
        "strategy": list(dict.fromkeys(words.strategy(row["strategy"]) for row in rows)),
        "budget": [str(budget) for budget in sorted({row["budget"] for row in rows})],
    }
    return {key: values for key, values in found.items() if len(values) > 1}


@cache
def _template() -> jinja2.Template:
    folder = resources.files("sweeps.report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True)  # fmt: skip
    environment.filters["breakable"] = _breakable
    for name, file in (("style", "page.css"), ("script", "page.js")):
        text = folder.joinpath(file).read_text(encoding="utf-8")
        environment.globals[name] = Markup(text)
        digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
        environment.globals[f"{name}_hash"] = Markup(f"'sha256-{digest}'")
    return environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))


def _breakable(text: str) -> Markup:
    """A name that may be broken after its punctuation, and nowhere else."""
    return Markup("<wbr>").join(re.split(r"(?<=[/._-])(?=\w)", text)) if " " not in text else escape(text)


def _status(evidence: Evidence) -> str:
    zoo = f"{words.count(len(evidence.pool), 'model')}, {words.count(len(evidence.task_names), 'task')}"
    return f"{zoo}; {tables.progress(evidence)}" if evidence.plan else zoo


def _banner(evidence: Evidence) -> str:
    missing = sum(stage.missing for stage in evidence.stages)
    if not evidence.plan:
        return "Nothing is planned yet: the plan is empty."
    if not missing:
        return ""
    return (f"The sweep is not finished: {words.count(missing, 'planned job')} of {len(evidence.plan):,} "
            f"{'has' if missing == 1 else 'have'} no result yet. All numbers cover what is there.")  # fmt: skip


def _no_answer(evidence: Evidence) -> str:
    if not evidence.plan:
        return "There is no answer yet, because nothing is planned."
    if not evidence.fine_tuning_planned:
        return "There is no answer, because this sweep scores models and fine-tunes none."
    if not evidence.scores:
        return "There is no answer yet, because no proxy has been scored."
    return "There is no answer yet, because no strategy could pick a model."


def parts(evidence: Evidence, rows: dict[str, list[Row]]) -> list[Answered]:
    """The answers, by kind of task."""
    found = []
    for title, tasks in evidence.parts.items():
        here = [row for row in rows["answer"] if row["task"] in tasks]
        if here:
            wide, narrow = (
                pictures(figures.answers(here, rows["accuracies"], evidence.pool, size,
                                         name=f"answers-{title.lower()}"))
                for size in (figures.WIDE, figures.NARROW)
            )  # fmt: skip
            lead = words.answers(here) if len(here) > MOST_SENTENCES else ""
            found.append(Answered(title, lead, [words.answer(row) for row in here], wide, narrow))
    return found if len(evidence.parts) > 1 else [part._replace(title="") for part in found]


def _provenance(evidence: Evidence) -> list[tuple[str, str]]:
    def distinct(column: str) -> list[str]:
        return sorted({str(row[column]) for row in evidence.jobs if row[column]})

    started: list[datetime] = [row["started"] for row in evidence.jobs if row["started"]]
    finished: list[datetime] = [row["finished"] for row in evidence.jobs if row["finished"]]
    facts: list[tuple[str, Any]] = [
        ("commit", words.listing(distinct("commit"))),
        ("hosts", f"{len(distinct('host'))}: {words.listing(distinct('host'))}" if distinct("host") else ""),
        ("devices", words.listing(device for device in distinct("device") if device != "tune")),
        ("first job started", f"{min(started):%Y-%m-%d %H:%M} UTC" if started else ""),
        ("last job finished", f"{max(finished):%Y-%m-%d %H:%M} UTC" if finished else ""),
        ("versions", words.versions(distinct("versions"))),
    ]
    return [(name, value) for name, value in facts if value and value != "none"]
