"""A job kind: a name, a typed specification and a reference to the code that runs it.

Nothing here imports PyTorch: a laptop without it can submit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

from ..goals import Goal
from .spec import Spec

# As it is typed after `cvq submit`, and as the database has room for.
_NAME = re.compile(r"[^\W_][\w.-]{0,99}")

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

# `run(kind, spec, ctx)` for a kind that has an inference: the runner and a table of rows.
_IN_BULK = "cvq_workers.inference.bulk:run"

# What `Client.submit` takes besides a specification's fields; a test holds the two equal.
OF_EVERY_JOB = frozenset(
    {"self", "kind", "priority", "name", "tags", "after", "at", "retries", "time_limit",
     "soft_time_limit", "gpu", "queue", "cache", "on_pack"}
)  # fmt: skip
# What `Client.submit_many` takes besides these, of a kind with items.
OF_EVERY_BATCH = frozenset({"items", "strict", "max_fails", "single", "each", "on_item"})


@dataclass(frozen=True)
class Kind:
    """A job kind: its name, its specification and where its code is.

    Attributes:
        name: what `cvq submit` calls it, for example `style-transfer`.
        spec: the pydantic model of its values.
        run: `module:function` of `run(spec, ctx) -> dict`, imported only in a job's process. A
            kind with an `inference` can do without.
        summary: one line for `cvq kinds`.
        extra: the optional dependency group that `run` needs, as in `pip install '.[worker]'`.
        offers: what its models can be used for: `classifier`, `autoencoder`, `generator`,
            `colorizer`, `adder`, or a word of one's own. `cvq_workers/training/saved.py` says what
            the network of each must do.
        network: `module:function` of `network(spec, facts) -> torch.nn.Module`, which makes the
            network, untrained, from the specification and the facts in the model file.
        inference: `module:Class` of a `cvq.Inference`, which answers many items at once on a
            model that stays loaded; imported only in a job's process.
        items: the field of the specification that holds a job's items. Jobs that differ in
            nothing else may share a batch.
        many: the field that says how many items a job makes by itself, from the one in `items`
            on; `cvq submit --each` makes a job of each. Both are whole numbers.
        headline: metrics, and values of the result, worth a column in lists and progress, most
            telling first. A text among them is shown without its name: the answer of a job that
            was asked something.
        goals: which way metrics are better, where their names do not say so:
            `{"colourfulness": "max"}`.
        endings: what the names of a job's results end in, where all of them do: png, json.
        cache: whether its answer follows from specification, inputs and seed, and whether it does
            nothing else besides: identical work is then not done twice (docs/reproducing.md).
        examples: what is typed behind its name, for its help.
        version: of its code, where that is more than its module or package shows: other code has
            other answers.

    What is left out of headline, goals and endings comes from the specification's base, such as
    `TrainingSpec`.
    """

    name: str
    spec: type[Spec]
    run: str = ""
    summary: str = ""
    extra: str | None = None
    offers: tuple[str, ...] = ()
    network: str | None = None
    inference: str | None = None
    items: str | None = None
    many: str | None = None
    headline: tuple[str, ...] = ()
    goals: Mapping[str, Goal] = field(default_factory=dict, hash=False)
    endings: tuple[str, ...] = ()
    cache: bool = False
    version: str = ""
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if hasattr(self.spec, "left_open"):
            raise ValueError(
                f"kind {self.name}: {self.spec.__name__}.left_open is not read any more: mark "
                "each of these fields itself, as in `size: Annotated[int, cvq.Auto()] = 0`"
            )
        for name in ("headline", "goals", "endings"):
            if not getattr(self, name):
                object.__setattr__(self, name, getattr(self.spec, name))
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"a kind is called {self.name!r}: a name has letters, digits, '-', '_' and '.', "
                "begins with a letter or digit, and has 100 characters at most"
            )
        of_all = OF_EVERY_JOB | (OF_EVERY_BATCH if self.items else frozenset())
        if taken := sorted(of_all.intersection(self.spec.model_fields)):
            raise ValueError(
                f"kind {self.name} has a field '{taken[0]}', which every job has: rename it"
            )
        if self.offers and self.network is None:
            raise ValueError(f"kind {self.name} offers {self.offers[0]}, and names no network")
        if not self.run and not self.inference:
            raise ValueError(f"kind {self.name} names neither a function to run nor an inference")
        if self.inference and self.items not in self.spec.model_fields:
            raise ValueError(f"kind {self.name}: name the field of its items, as items='images'")

    def load(self, spec: Spec, *, in_batch: bool = False) -> Any:
        """Import and return the function that runs a job, called with `(spec, ctx)`.

        A kind's own `run` knows no shards: their pictures are answered by its inference. So are
        the items of a batch, that all have answers of one shape.

        Args:
            spec: the job's.
            in_batch: whether the job is one of a batch.
        """
        if self.run and not (self.inference and (in_batch or has_shards(spec))):
            return _loaded(self.run)
        self.load_inference()
        return partial(_loaded(_IN_BULK), self)

    def load_network(self) -> Any:
        """Import and return the function that makes the network of a model."""
        assert self.network is not None
        return _loaded(self.network)

    def load_inference(self) -> Any:
        """Import and return the class that answers many items at once."""
        assert self.inference is not None
        return _loaded(self.inference)

    def batch_key(self, spec: dict[str, Any]) -> str | None:
        """Equal for jobs that may share a batch; None of a kind without inference.

        Args:
            spec: a specification as JSON.
        """
        if self.inference is None:
            return None
        rest = {name: value for name, value in spec.items() if name != self.items}
        return digest(self.name, rest)


def has_shards(spec: Spec) -> bool:
    """Whether a job's files are, or are among, shards: see `ImagesFile`."""
    return any(getattr(file, "is_shard", False) for file in spec.inputs())


def _loaded(reference: str) -> Any:
    module, _, function = reference.partition(":")
    return getattr(import_module(module), function)


def digest(kind: str, spec: dict[str, Any]) -> str:
    """The SHA-256 of a kind's name and a specification as JSON: equal for equal jobs."""
    return hashlib.sha256(_CANONICAL.encode([kind, spec]).encode()).hexdigest()
