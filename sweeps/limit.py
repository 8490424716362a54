"""Limit: how long a run may take, and whether more work fits. It decides how much is measured, never a number."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Limit:
    """Seconds on the wall and seconds of devices; None is no limit. The clock starts when this is made.

    ``lanes`` devices work at a time; ``share`` is how much of the whole may be used by the present stage.
    """

    wall: float | None = None
    devices: float | None = None
    lanes: int = 1
    share: float = 1.0
    spent: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return self.wall is not None or self.devices is not None

    @property
    def left(self) -> float | None:
        """Seconds left on the wall, for this stage; None without a limit on the wall."""
        return None if self.wall is None else self.wall * self.share - (time.monotonic() - self.begun)

    def fits(self, seconds: Sequence[float], later: Sequence[float] = ()) -> bool:
        """Whether jobs of these estimated seconds can be done, and what must come after them.

        Args:
            seconds: one for each job that would begin now.
            later: for each job of what follows them, for which the time is kept.
        """
        wall = sum(max(max(part), sum(part) / self.lanes) for part in (seconds, later) if part)
        in_time = self.left is None or wall <= self.left
        return in_time and (self.devices is None
                            or self.spent + sum(seconds) + sum(later) <= self.devices * self.share)  # fmt: skip
