"""The one training loop: every model of the course is trained by `train`.

A model brings its network and a function that measures a batch; the loop brings the rest:
shuffling, schedules, clipping, mixed precision, an average of the weights, validation after every
epoch, the best weights, early stopping, guards, metrics, checkpoints and resume.

Everything random is drawn either from generators that a seed and a step make anew, or from the
global ones, which a checkpoint holds: a training that was interrupted ends with the same weights
as one that was not (same device, same number of threads).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cvq.context import Context
from cvq.errors import PermanentError
from cvq.goals import goal_of
from cvq.kinds.training import TrainingSpec
from cvq.text import duration

from . import guards, memory
from .optimisers import load_optimiser, make_average, make_optimiser, make_schedule
from .precision import precision
from .work import Work

log = logging.getLogger("cvq.job")

_REPORTS = 20  # smoothed losses an epoch
_SMOOTHED = 20  # steps that a smoothed loss looks back on, where an epoch has as many
_WATCHED_STEPS = 5  # of which every loss is looked at
_ONE_CLASS_STEPS = 100
_EVALUATION_BATCH = 1024
# After so many steps or seconds it is said how long the rest will take, where it takes longer.
_TIMED_STEPS, _TIMED_S, _WORTH_TELLING_S = 20, 3.0, 10.0
_LINES = 60  # in the log, of so many epochs at most


@dataclass(frozen=True)
class Samples:
    """Inputs (N, ...) of any type and their targets (N, ...); without targets, the inputs."""

    inputs: Tensor
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, index: Tensor | slice, device: str) -> tuple[Tensor, Tensor]:
        """Some of the samples, on the device."""
        inputs = self.inputs[index].to(device)
        return inputs, inputs if self.targets is None else self.targets[index].to(device)


@dataclass(frozen=True)
class Measured:
    """What a batch says of a network: the loss to follow, other means, a classifier's logits.

    Where the loss to follow has more in it than is reported (smoothed labels, a weight), `values`
    has a `loss` of its own: training and validation are to report the same quantity.
    """

    loss: Tensor
    values: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None


Measure = Callable[[nn.Module, Tensor, Tensor], Measured]
Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass
class Trained:
    """A finished training; the network has the weights that were best on the validation part.

    Attributes:
        history: a row for each epoch: epoch, step and the means of that epoch.
        best_epoch: the epoch whose weights the network has, from 1.
        facts: what the job's result says of the training.
    """

    network: nn.Module
    history: list[dict[str, float]]
    best_epoch: int
    facts: dict[str, Any]


@dataclass
class _State:
    """Where a training is; all of it goes into a checkpoint."""

    step: int = 0
    first: float = 0.0  # loss
    smoothed: float = 0.0
    seen: float = 0.0  # weight of the smoothed loss so far
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def train(
    network: nn.Module,
    training: Samples,
    validation: Samples,
    measure: Measure,
    spec: TrainingSpec,
    ctx: Context,
    *,
    augment: Augment | None = None,
    best_by: str = "val_loss",
    classes: tuple[str, ...] = (),
    resumable: bool = True,
) -> Trained:
    """Train a network and return it with its best weights, in evaluation mode.

    Args:
        network: on the CPU, initialised.
        training, validation: samples; integers stay so until `measure` scales them.
        measure: the loss and other means of a batch (network, inputs, targets).
        spec: the hyperparameters; what it leaves to the data (`TrainingSpec.settled`) is chosen
            by the number of training samples, and stands in the facts.
        ctx: where progress, metrics and checkpoints go.
        augment: changes a batch of training inputs, with a generator for what it draws.
        best_by: the metric that chooses the best epoch; which way it is better is said by
            the kind's goals, else by its name (see `cvq.goals`), else lower is. Of epochs that it
            finds alike, as accuracies often are, the one with the smallest `val_loss` is best.
        classes: of a classifier; switches its guards on.
        resumable: whether to write checkpoints and go on from the last; a job that trains several
            networks, each within a second or two, begins anew.

    Raises:
        PermanentError: a guard stopped the training; the message says why.
    """
    run = _Run(network, training, validation, measure, spec, ctx, augment, best_by, classes)
    run.resumable = resumable
    return run.train()


def evaluate(
    network: nn.Module,
    samples: Samples,
    measure: Measure,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    batch_size: int = _EVALUATION_BATCH,
) -> dict[str, float]:
    """Means over samples, in evaluation mode: `loss` and whatever else `measure` gives."""
    was_training = network.training
    network.eval()
    sums: dict[str, float] = {}
    with torch.no_grad(), autocast(device, dtype):
        for start in range(0, len(samples), batch_size):
            inputs, targets = samples.batch(slice(start, start + batch_size), device)
            _add(sums, measure(network, inputs, targets), len(inputs))
    network.train(was_training)
    return {name: value / len(samples) for name, value in sums.items()}


def autocast(device: str, dtype: torch.dtype) -> torch.autocast:
    """Mixed precision, switched off for float32."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=dtype != torch.float32)


def dtype_of(spec: TrainingSpec, device: str) -> torch.dtype:
    """The type that matrices and convolutions are multiplied in."""
    if spec.precision == "auto":
        return precision(device)
    return torch.bfloat16 if spec.precision == "bf16" else torch.float32


class Pace:
    """Says in the log how long a training will take, from its first steps.

    The very first is left out: it is the slowest. Trainings of some seconds are not worth a line.
    """

    def __init__(self, begun_at: int, total: int) -> None:
        self._begun_at, self._total = begun_at, total
        self._since: float | None = None
        self._told = False

    def so_far(self, done: int) -> tuple[int, float]:
        """The steps since the first one, and their seconds."""
        if self._since is None:
            return 0, 0.0
        return done - self._begun_at - 1, time.perf_counter() - self._since

    def step(self, done: int) -> None:
        """Note that so many steps are done."""
        now, taken = time.perf_counter(), done - self._begun_at
        if self._since is None:
            self._since = now
        elif not self._told and (taken > _TIMED_STEPS or now - self._since > _TIMED_S):
            self._told = True
            each = (now - self._since) / (taken - 1)
            left = each * (self._total - done)
            if left > _WORTH_TELLING_S:
                log.info(
                    "about %s for the %d steps to go, at %s each",
                    duration(left), self._total - done, f"{each:.2g}s",
                )  # fmt: skip


class _Run:
    """One call of `train`."""

    resumable = True

    def __init__(
        self,
        network: nn.Module,
        training: Samples,
        validation: Samples,
        measure: Measure,
        spec: TrainingSpec,
        ctx: Context,
        augment: Augment | None,
        best_by: str,
        classes: tuple[str, ...],
    ) -> None:
        if not len(training) or not len(validation):
            raise PermanentError("there are no images to train on, or none to validate on")
        if classes:
            for samples in (training, validation):
                assert samples.targets is not None
                guards.check_labels(samples.targets, len(classes), trained_on=samples is training)
        if len(training) < spec.batch_size:
            log.info("%d training samples, fewer than --batch-size: one batch", len(training))
        spec = spec.settled(len(training))
        self.spec, self.ctx, self.measure, self.augment = spec, ctx, measure, augment
        self.device, self.dtype = ctx.device, dtype_of(spec, ctx.device)
        self.network = network.to(ctx.device).to(memory_format=torch.channels_last)
        on_gpu = ctx.device != "cpu"
        self.training = _moved(training, ctx.device) if on_gpu else training
        self.validation = _moved(validation, ctx.device) if on_gpu else validation
        self.batch = spec.batch_size
        # The last few samples of a shuffled epoch are left out, as a batch of one has no
        # variance; the next epoch shuffles anew.
        self.per_epoch = len(training) // self.batch
        self.total = self.per_epoch * spec.epochs
        self.work = Work(self.total, self.per_epoch, len(validation) / self.batch)
        self.best_by, self.classes = best_by, classes
        self.optimiser = make_optimiser(self.network, spec)
        self.schedule = make_schedule(self.optimiser, spec, self.total)
        self.average = make_average(self.network, spec.ema) if spec.ema else None
        self.state = _State()
        self.one_class = guards.OneClassGuard(lambda label: f"{label} ({classes[label]})")

    def train(self) -> Trained:
        """Run all epochs, or what is left of them."""
        memory.check_batch(self.network, self._probe, self.batch, self.device)
        self._tell()
        self._resume()
        started, begun_at = time.perf_counter(), self.state.step
        self.pace = Pace(begun_at, self.total)
        # Left to itself, cuDNN picks convolutions by timing them, and some add in any order.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
            for epoch in range(self.state.step // self.per_epoch, self.spec.epochs):
                self._epoch(epoch)
                if self._is_enough():
                    break
        seconds = time.perf_counter() - started
        state = self.state
        self.network.load_state_dict(state.best_weights)
        trained = (state.step - begun_at) * self.batch
        facts = {
            "epochs": len(state.history),
            "batch_size": self.batch,
            "best_epoch": state.best_epoch,
            "steps": state.step,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "precision": str(self.dtype).removeprefix("torch."),
            "device": self.device,
            "train_seconds": round(seconds, 3),
            "images_per_second": round(trained / seconds, 1) if trained else None,
            **{k: v for k, v in state.history[state.best_epoch - 1].items() if "_" in k},
        }
        return Trained(self.network.eval(), state.history, state.best_epoch, facts)

    def _tell(self) -> None:
        weights = sum(p.numel() for p in self.network.parameters())
        log.info("network: %d weights, on %s in %s", weights, self.device, self.dtype)
        log.info(
            "training: %d samples, validated on %d; %d epochs of %d steps, %d samples a step",
            len(self.training), len(self.validation), self.spec.epochs, self.per_epoch,
            self.batch,
        )  # fmt: skip

    def _epoch(self, epoch: int) -> None:
        started, first = time.perf_counter(), self.state.step
        order = torch.randperm(len(self.training), generator=_generator(self.spec.seed, epoch))
        self.network.train()
        for position in range(self.state.step % self.per_epoch, self.per_epoch):
            index = order[position * self.batch : (position + 1) * self.batch]
            self._step(index)
            if position + 1 == self.per_epoch:
                seconds = time.perf_counter() - started
                self._validate(epoch + 1, (self.state.step - first) * self.batch / seconds)
            self.pace.step(self.state.step)
            self.work.time(*self.pace.so_far(self.state.step))
            self.ctx.progress(
                self.state.step, self.total, "step", share=self.work.share(self.state.step)
            )
            if self.resumable and self.ctx.checkpoint_due():
                self._checkpoint()

    def _step(self, index: Tensor) -> None:
        number = self.state.step
        inputs, targets = self.training.batch(index, self.device)
        if self.augment is not None:
            changed = self.augment(inputs, _generator(self.spec.seed, number, 1))
            targets = changed if targets is inputs else targets
            inputs = changed
        change = guards.ChangeGuard(self.network) if number == 0 else None
        found: list[Measured] = []

        def closure() -> Tensor:
            self.optimiser.zero_grad(set_to_none=True)
            with autocast(self.device, self.dtype):
                measured = self.measure(self.network, inputs, targets)
            torch.autograd.backward(measured.loss)
            if self.spec.clip:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.clip)
            found.append(measured)
            return measured.loss

        self.optimiser.step(closure)  # type: ignore[arg-type]
        self.schedule.step()
        self.state.step += 1
        measured = found[0]
        _add(self.state.sums, measured, len(inputs))
        self._watch(measured, targets, change)
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _watch(
        self, measured: Measured, targets: Tensor, change: guards.ChangeGuard | None
    ) -> None:
        state, step = self.state, self.state.step
        loss = float(measured.loss.detach())
        if step == 1:
            state.first = loss
        guards.check_loss(loss, step, state.first)
        weight = 1 / min(_SMOOTHED, self.per_epoch)
        state.smoothed += weight * (loss - state.smoothed)
        state.seen += weight * (1 - state.seen)
        if change is not None:
            change.check()
        if self.classes and measured.logits is not None and not self.one_class.done:
            if step > _ONE_CLASS_STEPS // 2:
                self.one_class.see(measured.logits, targets)
            if step >= _ONE_CLASS_STEPS:
                self.one_class.check(step)
        if step <= _WATCHED_STEPS or step % max(1, self.per_epoch // _REPORTS) == 0:
            self.ctx.metrics(step, loss=state.smoothed / state.seen)

    def _validate(self, epoch: int, speed: float) -> None:
        state = self.state
        network = self.network if self.average is None else self.average.module
        found = evaluate(
            network, self.validation, self.measure, device=self.device, dtype=self.dtype
        )
        row = {f"train_{k}": v / (self.per_epoch * self.batch) for k, v in state.sums.items()}
        row |= {f"val_{name}": value for name, value in found.items()}
        state.sums = {}
        guards.check_loss(row["val_loss"], state.step, state.first)
        rate = self.optimiser.param_groups[0]["lr"]
        self.ctx.metrics(
            state.step, epoch=epoch, learning_rate=rate, images_per_second=speed, **row
        )
        shown = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        if epoch in (1, self.spec.epochs) or epoch % -(-self.spec.epochs // _LINES) == 0:
            log.info("epoch %d of %d: %s", epoch, self.spec.epochs, shown)
        state.history.append({"epoch": epoch, "step": state.step, **row})
        if state.best is None or self._rank(row) < self._rank(state.history[state.best_epoch - 1]):
            state.best, state.best_epoch = row[self.best_by], epoch
            state.best_weights = {k: v.clone() for k, v in network.state_dict().items()}

    def _rank(self, row: dict[str, float]) -> tuple[float, float]:
        """Epochs in the order of this, the best first: by what chooses, then by the loss."""
        upward = goal_of(self.best_by, {**self.spec.goals, **self.ctx.goals}) == "max"
        chosen = row[self.best_by]
        return -chosen if upward else chosen, row["val_loss"]

    def _is_enough(self) -> bool:
        without_gain = len(self.state.history) - self.state.best_epoch
        if not self.spec.patience or without_gain < self.spec.patience:
            return False
        log.info("stopped early: no gain in %d epochs", without_gain)
        return True

    def _probe(self, count: int) -> Tensor:
        index = torch.arange(count) % len(self.training)
        self.network.train()
        with autocast(self.device, self.dtype):
            return self.measure(self.network, *self.training.batch(index, self.device)).loss

    def _checkpoint(self) -> None:
        self.ctx.checkpoint(
            self.state.step,
            network=self.network.state_dict(),
            optimiser=self.optimiser.state_dict(),
            schedule=self.schedule.state_dict(),
            average=self.average.module.state_dict() if self.average is not None else None,
            training=vars(self.state),
        )

    def _resume(self) -> None:
        found = self.ctx.resume() if self.resumable else None
        if found is None:
            return
        self.network.load_state_dict(found.state["network"])
        load_optimiser(self.optimiser, found.state["optimiser"])
        self.schedule.load_state_dict(found.state["schedule"])
        if self.average is not None:
            self.average.module.load_state_dict(found.state["average"])
            self.average.n_averaged.fill_(found.step)
        self.state = _State(**found.state["training"])


def _moved(samples: Samples, device: str) -> Samples:
    targets = None if samples.targets is None else samples.targets.to(device)
    return Samples(samples.inputs.to(device), targets)


def _generator(*seeds: int) -> torch.Generator:
    """A generator made anew from numbers, so that none has to be saved."""
    mixed = 0
    for seed in seeds:  # a large odd factor keeps neighbouring numbers apart
        mixed = (mixed + seed + 1) * 0x9E3779B97F4A7C15 % 2**63
    return torch.Generator().manual_seed(mixed)


def _add(sums: dict[str, float], measured: Measured, count: int) -> None:
    for name, value in {"loss": measured.loss, **measured.values}.items():
        sums[name] = sums.get(name, 0.0) + float(value.detach()) * count
