"""``python -m sweeps`` is the same as ``sweeps``."""

from sweeps.cli import main

main()
