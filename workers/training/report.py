"""What a job tells at its end: figures, pictures, a model card, and what is wrong with it.

Nothing that is drawn or written here may cost a training: whatever goes wrong in a part costs
that part, and is a warning in the job's log, its result and its card. The model is stored before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cvq.context import Context
from cvq.kinds.training import TrainingSpec

from .card import write_card
from .loop import Trained
from .plots import save_curves

log = logging.getLogger("cvq.job")

_TOLD = (int, float, str)


class Report:
    """Collects figures and warnings, and draws.

    Args:
        ctx: the job's context.
        figures: to begin with.
        warnings: to begin with, as those of a model that is used; they are in the log already.

    Attributes:
        figures: what the job's result says, filled by its kind.
        warnings: sentences on what is wrong, also in the result.
    """

    def __init__(
        self,
        ctx: Context,
        figures: Mapping[str, Any] | None = None,
        warnings: Iterable[str] = (),
    ) -> None:
        self.ctx = ctx
        self.figures: dict[str, Any] = dict(figures or {})
        self.warnings: list[str] = list(warnings)

    def warn(self, *sentences: str | None) -> None:
        """Say what is wrong, in the log and in the result; None says nothing."""
        for sentence in sentences:
            if sentence:
                log.warning("%s", sentence)
                self.warnings.append(sentence)

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """Make a part of the report; an error costs the part and not the job."""
        try:
            yield
        except Exception as error:  # whatever a library makes of odd data
            log.warning("%s could not be made", what, exc_info=True)
            told = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            self.warn(f"{what} could not be made ({told}); the model is not affected")

    def draw(self, name: str, save: Callable[[Path], None], *, role: str = "plot") -> None:
        """Publish what `save` writes to a path, as an artifact of this name."""
        with self.part(name), self.ctx.artifact(name, role=role) as path:
            save(path)

    def curves(self, trained: Trained, *names: str) -> None:
        """Draw `NAME.png` for each metric: training and validation, with the best epoch."""
        for name in names:
            save = partial(
                save_curves,
                history=trained.history,
                name=name,
                best_epoch=trained.best_epoch,
            )
            self.draw(f"{name}.png", save)

    def close(
        self,
        *,
        kind: str,
        summary: str,
        spec: TrainingSpec,
        data: Mapping[str, Any],
        classes: Sequence[str] = (),
        use: str = "",
    ) -> dict[str, Any]:
        """Write the model card and return the job's result: the figures and the warnings.

        Args:
            kind: the job kind.
            summary: one sentence on the network.
            spec: what was asked for.
            data: `Dataset.facts`, or the like.
            classes: their names, where there are any.
            use: the command that uses the model, without its job number; empty where none does.
        """
        if classes:
            data = {**data, "class names": ", ".join(classes)}
        with self.part("model-card.md"):
            write_card(
                self.ctx, kind=kind, summary=summary, spec=spec, data=data,
                figures=self.figures, warnings=self.warnings, use=use,
            )  # fmt: skip
        return self.result()

    def result(self) -> dict[str, Any]:
        """The figures, which the log tells, too, and the warnings."""
        shown = {k: v for k, v in self.figures.items() if isinstance(v, _TOLD)}
        log.info("done: %s", ", ".join(f"{k} {_short(v)}" for k, v in shown.items()) or "-")
        return {**self.figures, "warnings": self.warnings}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
