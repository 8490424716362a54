"""What workers do: one function ``(job, context) -> rows per table`` for each kind of job. Knows no Ray."""

from collections.abc import Mapping
from types import MappingProxyType

# kind -> "module:function", imported by the worker that meets the first job of the kind.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "sift": "sweeps.jobs.sift:run",
        "embed": "sweeps.jobs.embed:run",
        "score": "sweeps.jobs.score:run",
        "early": "sweeps.jobs.early:run",
        "task2vec": "sweeps.jobs.task2vec:run",
        "bound": "sweeps.jobs.bound:run",
        "head2toe": "sweeps.jobs.head2toe:run",
        "head2toe_ft": "sweeps.jobs.head2toe_ft:run",
        "tau_trial": "sweeps.jobs.bound:trial",
        "finetune": "sweeps.jobs.finetune:run",
        "rung": "sweeps.jobs.rung:run",
        "head": "sweeps.jobs.head:run",
        "confirm": "sweeps.jobs.finetune:run",
        "final": "sweeps.jobs.finetune:run",
        "export": "sweeps.jobs.export:run",
        "pretrain": "sweeps.jobs.pretrain:run",
    }
)
