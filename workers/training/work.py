"""What a training costs, so that the time that is left can be foretold."""

from __future__ import annotations

from dataclasses import dataclass

_FORWARD = 1 / 3  # of a step's cost, for as many samples that are only looked at
# What tests, plots and files take that follow the last step.
_AFTER_S = 2.5
_TIMED = 5  # steps after which their speed is believed


@dataclass
class Work:
    """The work of a training, in steps: those themselves, validation, and what follows.

    Args:
        steps: of all epochs.
        per_epoch: steps of one.
        validated: samples that are validated on after each epoch, in batches.
    """

    steps: int
    per_epoch: int
    validated: float
    _after: float = 0.0

    def time(self, taken: int, seconds: float) -> None:
        """Note how long the first steps took, so that seconds can be put in steps."""
        if taken == _TIMED and seconds > 0:
            self._after = _AFTER_S * taken / seconds

    def share(self, done: int) -> float:
        """The share of the work, 0 to 1, that is done after so many steps and their epochs."""
        validation = _FORWARD * self.validated
        spent = done + done // self.per_epoch * validation
        whole = self.steps + self.steps // self.per_epoch * validation + self._after
        return spent / whole
