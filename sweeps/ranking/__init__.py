"""The best model for one's own data in one call: data and a zoo -> a sweep -> the winner with its checkpoint.

A thin layer: it writes a :class:`sweeps.config.SweepConfig` from its arguments, and the same run, plan, tables and
report do the rest. In a notebook::

    from sweeps import rank
    answer = rank("data/", zoo="mini_*", budget=3)
    answer.winner.model, answer.checkpoint
"""

from sweeps.ranking.answer import Answer, Winner
from sweeps.ranking.prepare import Prepared, prepare, rank

__all__ = ["Answer", "Prepared", "Winner", "prepare", "rank"]
