"""Which pre-trained model should be fine-tuned for a task, with which learning rate, and how sure are we?

The system part: plans, machines, tables. The formulas live in :mod:`taskrel`. In a notebook::

    from sweeps.run import run
    result = run("ray_configs/sweeps/mini.toml", out="out/mini")
    result.answer          # one row per task: model, learning rate, accuracy, regret
    result.sql("select * from scores order by value desc")

or, for the best model for one's own data::

    from sweeps import rank
    answer = rank("data/", zoo="mini_*", budget=3)
    answer.winner, answer.checkpoint
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``rank``, imported when it is asked for: ``import sweeps`` alone stays light."""
    if name == "rank":
        from sweeps.ranking import rank

        return rank
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
