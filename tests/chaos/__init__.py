"""Sweeps under fire: `python -m tests.chaos` (make chaos)."""
