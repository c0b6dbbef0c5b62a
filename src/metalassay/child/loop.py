"""What `metalassay.keepalive` does in a process of a run."""

from __future__ import annotations

from dataclasses import dataclass

from metalassay.child import steps
from metalassay.child.requests import Stop
from metalassay.child.run import Run


@dataclass
class Loop:
    """The program's own training loop."""

    run: Run
    stop: Stop
    _asked: int = 0
    _reason: str | None = None

    def step(self) -> None:
        """Count a step."""
        steps.count_loop_step()

    def checkpoint_wanted(self) -> str | None:
        """Return the reason for which a checkpoint is wanted, or None; each call counts as a step."""
        self._asked += 1
        if self._reason is None:
            self._reason = self.stop.wanted(self._asked)
        return self._reason

    def saved(self, path: str, step: int) -> None:
        """Send that a checkpoint was saved, and if it was asked for, that the loop ends."""
        self.run.send("checkpoint", step=step, path=path)
        if self._reason is not None:
            self.run.send("stopping", step=step, reason=self._reason)
