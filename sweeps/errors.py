"""The error tree. User errors print one line and exit 2; a failed job is a row, not an exception.

SweepError
+-- ConfigError        the configuration is wrong (unknown key, name, value)
+-- DataError          a task cannot be read (missing split, empty class, corrupt image, one class)
+-- ModelError         a model cannot be built or loaded
+-- OutputError        the output folder cannot be used (unwritable, locked by another run)
+-- ClusterError       Ray is not reachable or lost every worker
"""

import difflib
from collections.abc import Iterable


class SweepError(Exception):
    """A fault that the user can mend; ``str(error)`` is one line that says what and how."""


class ConfigError(SweepError):
    """The configuration is wrong."""


class DataError(SweepError):
    """A task cannot be read."""


class ModelError(SweepError):
    """A model cannot be built or loaded."""


class OutputError(SweepError):
    """The output folder cannot be used."""


class ClusterError(SweepError):
    """Ray is not reachable, or no worker is left."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known name, or a list when nothing is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f", got {name!r}; did you mean {near[0]!r}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f", got {name!r}; known: {shown or 'nothing'}"
