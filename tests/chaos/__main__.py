"""`python -m tests.chaos [FIRST] [LAST] [LOG]`: disasters of these seeds, a line each, and how each kind ended."""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.field import Field


def main(first: int = 0, last: int = 199, log: str = "") -> int:
    """How many ended wrong."""
    memory = Path("/dev/shm")  # a disk in use by others would measure them
    tried, wrong, late = Counter[str](), Counter[str](), Counter[str]()
    lines = open(log, "a", encoding="utf-8") if log else None  # noqa: SIM115  open as long as this process
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        field = Field(Path(folder))
        try:
            for seed in range(first, last + 1):
                verdict = field.run(seed)
                tried[verdict.kind] += 1
                wrong[verdict.kind] += bool(verdict.wrong)
                late[verdict.kind] += not verdict.struck
                print(f"{seed - first + 1}/{last - first + 1}  {verdict}", flush=True, file=lines)
                if lines:
                    print(f"{seed - first + 1}/{last - first + 1}  {verdict}", flush=True)
        finally:
            field.close()
            for stream in (sys.stdout, lines):
                if stream:
                    for kind, count in tried.items():
                        print(f"{kind:14s} {count:3d} runs, {late[kind]} came too late, {wrong[kind]} wrong",
                              file=stream, flush=True)  # fmt: skip
                    print(f"{tried.total()} runs, {wrong.total()} wrong", file=stream, flush=True)
    return wrong.total()


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(min(1, main(*(int(each) for each in given[:2]), *given[2:])))
