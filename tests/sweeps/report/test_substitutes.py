"""Where a model stands for another, the report says so: in the table of models and beside the reason of a pick."""

from sweeps.report import tables
from sweeps.report.cells import Cells
from sweeps.report.choice import Ground, answers
from sweeps.types import Model
from sweeps.zoo.registry import facts
from taskrel.types import Pick

PLAIN = facts(Model(name="plain", source="timm:a"))
STANDS = facts(Model(name="stands", source="timm:b", substitute="the original is lost"))


def test_the_table_of_models_has_a_column_for_it_when_there_is_one():
    assert "substitute" not in [column.title for column in tables.models([PLAIN]).columns]
    table = tables.models([PLAIN, STANDS])
    assert table.columns[-1].title == "substitute"
    assert [row[-1].text for row in table.rows][1] == "the original is lost"
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_a_pick_says_it_with_its_reason():
    ground = Ground((), Cells(), {"t": ["plain", "stands"]}, (), {}, {"stands": STANDS["substitute"]})
    picks = {"t": [Pick("plain", "linear #1"), Pick("stands", "linear #2")]}
    (row,) = answers(picks, ground, strategy="linear", budget=2)
    assert row["reasons"] == ["linear #1", "linear #2; a substitute: the original is lost"]
