"""The training loop: what it learns, what stops it, and that an interruption changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cvq import LocalContext
from cvq.errors import PermanentError
from cvq.kinds.builtin.fmnist_mlp import MlpSpec
from cvq.kinds.training import TrainingSpec
from cvq_workers.training import card, loop, memory
from cvq_workers.training.augment import random_flip
from cvq_workers.training.guards import OneClassGuard, check_labels, check_loss
from cvq_workers.training.loop import Measured, Pace, Samples, Trained, train
from cvq_workers.training.optimisers import make_average, make_optimiser, make_schedule
from interrupted import Interrupted

CLASSES = ("left", "right")


def halves(count: int, seed: int = 0) -> Samples:
    """Pictures (N, 1, 8, 8) that are brighter on the left or on the right."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 120, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 2, (count,), generator=generator)
    for picture, label in zip(pictures, labels.tolist(), strict=True):
        picture[0, :, 4 * label : 4 * label + 4] += 100
    return Samples(pictures, labels)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(144, 2),
    )  # fmt: skip


def measure(net: nn.Module, pictures: Tensor, labels: Tensor) -> Measured:
    logits = net(pictures.float() / 255).float()
    return Measured(
        cross_entropy(logits, labels),
        {"accuracy": (logits.argmax(1) == labels).float().mean()},
        logits,
    )


def fit(
    tmp_path: Path, net: nn.Module | None = None, **values: Any
) -> tuple[Trained, LocalContext]:
    ctx = values.pop("ctx", None) or LocalContext(tmp_path)
    measured = values.pop("measure", measure)
    augment = values.pop("augment", None)
    spec = TrainingSpec(**{"epochs": 3, "batch_size": 32, "learning_rate": 1e-2, **values})
    trained = train(
        net or network(), halves(300), halves(80, seed=1), measured, spec, ctx,
        augment=augment, best_by="val_accuracy", classes=CLASSES,
    )  # fmt: skip
    return trained, ctx


def test_a_training_learns_and_says_how_it_went(tmp_path: Path) -> None:
    trained, ctx = fit(tmp_path)
    assert trained.facts["val_accuracy"] > 0.95
    assert [row["epoch"] for row in trained.history] == [1, 2, 3]
    assert ctx.steps[-1][:3] == (27, 27, "step")
    names = set(ctx.metric_names)
    assert {"loss", "train_loss", "val_loss", "val_accuracy", "learning_rate"} <= names
    assert {"images_per_second", "epoch"} <= names
    assert not trained.network.training


def test_a_reported_loss_looks_back_no_further_than_an_epoch(tmp_path: Path) -> None:
    _, ctx = fit(tmp_path, batch_size=256, epochs=4)  # one step an epoch
    losses, trained = (dict(ctx.curve(name)) for name in ("loss", "train_loss"))
    assert losses == pytest.approx(trained)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_every_optimiser_goes_with_every_schedule(
    tmp_path: Path, optimizer: str, schedule: str
) -> None:
    trained, _ = fit(tmp_path, optimizer=optimizer, schedule=schedule, epochs=4)
    assert trained.facts["val_accuracy"] > 0.8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stop", [4, 9, 20, 26])
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, stop: int, precision: str
) -> None:
    values: dict[str, Any] = {
        "ema": 0.9, "augment": random_flip, "precision": precision, "patience": 0
    }  # fmt: skip
    torch.manual_seed(5)
    whole, _ = fit(tmp_path / "whole", **values)
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, ctx=Interrupted(tmp_path / "cut", after=stop), **values)
    ctx = LocalContext(tmp_path / "cut")
    resumed, _ = fit(tmp_path, network(seed=8), ctx=ctx, **values)
    assert ctx.steps[0][0] == stop + 1
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    assert [r["val_loss"] for r in whole.history] == [r["val_loss"] for r in resumed.history]


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its one-cycle schedule was a function of its own, which left no peak in the optimiser.
    def earlier(optimiser: torch.optim.Optimizer, *_: Any) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "make_schedule", earlier)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, ctx=Interrupted(tmp_path, after=9), ema=0.9)
    trained, ctx = fit(tmp_path, ema=0.9)
    assert ctx.steps[0].done == 10
    rates = [rate for _, rate in ctx.curve("learning_rate")]
    whole = fit(tmp_path / "whole", ema=0.9)[1]
    assert rates == [rate for _, rate in whole.curve("learning_rate")][-len(rates) :]
    assert trained.facts["val_accuracy"] > 0.9


@pytest.mark.parametrize("samples", [32, 64, 96, 128, 160])
def test_a_cycle_of_the_fewest_steps_has_rates_to_learn_with(samples: int) -> None:
    total = samples // 32
    spec = TrainingSpec(learning_rate=1.0)
    weights = nn.Linear(2, 2)
    optimiser = make_optimiser(weights, spec)
    schedule = make_schedule(optimiser, spec, total)
    rates = []
    for _ in range(total):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.04)
    assert all(0.0009 < rate <= 1 for rate in rates)


def test_an_average_follows_fast_at_first_and_counts_no_numbers_in_between() -> None:
    net = nn.BatchNorm1d(1)
    average = make_average(net, 0.9)
    for value in (1.0, 3.0):
        with torch.no_grad():
            net.weight.fill_(value)
            net.num_batches_tracked += 1
        average.update_parameters(net)
    assert isinstance(average.module, nn.BatchNorm1d)
    assert float(average.module.weight.detach()) == pytest.approx(1 + 2 * (1 - 3 / 12))
    assert int(average.module.num_batches_tracked) == 2  # type: ignore[arg-type]
    assert not average.module.training


def test_the_kinds_goals_say_which_epoch_is_best(tmp_path: Path) -> None:
    ctx = LocalContext(tmp_path)
    ctx.goals = {"val_accuracy": "min"}
    trained, _ = fit(tmp_path, ctx=ctx, epochs=6, learning_rate=3e-4)
    worst = min(trained.history, key=lambda row: (row["val_accuracy"], row["val_loss"]))
    assert worst["val_accuracy"] < max(row["val_accuracy"] for row in trained.history)
    assert trained.best_epoch == worst["epoch"]


def test_the_best_weights_are_kept_and_a_training_without_gain_is_stopped(tmp_path: Path) -> None:
    trained, _ = fit(tmp_path, epochs=30, patience=2, learning_rate=3e-2, schedule="constant")
    values = [row["val_accuracy"] for row in trained.history]
    assert len(values) < 30
    alike = [row for row in trained.history if row["val_accuracy"] == max(values)]
    assert trained.best_epoch == min(alike, key=lambda row: row["val_loss"])["epoch"]
    assert len(values) == trained.best_epoch + 2
    found = loop.evaluate(trained.network, halves(80, seed=1), measure)
    assert found["accuracy"] == pytest.approx(max(values), abs=0.02)  # bf16 in the training


def test_of_epochs_that_are_right_alike_the_surest_is_kept(tmp_path: Path) -> None:
    losses = iter([0.191, 0.5, 0.0066, 0.3, 0.02])
    accuracies = iter([0.75, 1.0, 1.0, 1.0, 1.0])

    def told(*_: Any, **__: Any) -> dict[str, float]:
        return {"loss": next(losses), "accuracy": next(accuracies)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "evaluate", told)
        trained, _ = fit(tmp_path, epochs=5)
    assert trained.best_epoch == 3
    assert (trained.facts["val_accuracy"], trained.facts["val_loss"]) == (1.0, 0.0066)


def test_the_courses_own_bug_is_noticed_at_once(tmp_path: Path) -> None:
    class ZeroFirst(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            loss = closure()
            self.zero_grad(set_to_none=False)
            super().step()
            return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            loop,
            "make_optimiser",
            lambda net, spec: ZeroFirst(net.parameters(), lr=spec.learning_rate),
        )
        with pytest.raises(PermanentError, match=r"no weight changed .* zero_grad\(\)"):
            fit(tmp_path)


def test_a_dead_network_is_noticed(tmp_path: Path) -> None:
    net = network()
    for parameter in net[:2].parameters():  # type: ignore[index]
        nn.init.constant_(parameter, -1.0)
    nn.init.zeros_(net[1].bias)  # type: ignore[index, arg-type]
    with torch.no_grad():
        net[5].bias.copy_(torch.tensor([9.0, -9.0]))  # type: ignore[index, union-attr, operator]
        net[5].weight.zero_()  # type: ignore[index, union-attr, operator]
    with pytest.raises(PermanentError, match=r"predicts class 0 \(left\) for all of"):
        fit(tmp_path, net, epochs=20, learning_rate=1e-7, schedule="constant", weight_decay=0.0)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    def spoilt(net: nn.Module, pictures: Tensor, labels: Tensor) -> Measured:
        return Measured(measure(net, pictures, labels).loss * float("nan"))

    with pytest.raises(PermanentError, match=r"the loss is nan at step 1, .*--learning-rate"):
        fit(tmp_path, measure=spoilt)


def test_a_loss_that_runs_away_stops_the_training_and_one_that_jumps_does_not() -> None:
    check_loss(9e3, 40, first=0.5)
    check_loss(-1e9, 40, first=2.0)
    for loss, first in ((2e4, 0.5), (2e6, 100.0), (float("inf"), 2.0)):
        with pytest.raises(PermanentError, match="has run away; lower --learning-rate"):
            check_loss(loss, 40, first)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 10], "outside the classes 0 to 9: 10"),
        ([-1, 3], "outside the classes 0 to 9: -1"),
        ([4, 4, 4], "all 3 training labels are class 4"),
    ],
)
def test_labels_that_cannot_be_right_are_refused(labels: list[int], said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        check_labels(torch.tensor(labels), 10, trained_on=True)


def test_a_small_validation_part_may_have_one_class() -> None:
    check_labels(torch.tensor([4]), 10, trained_on=False)


def test_a_network_may_predict_one_class_where_there_is_but_one() -> None:
    guard = OneClassGuard()
    guard.see(torch.eye(10)[torch.zeros(600, dtype=torch.long)], torch.zeros(600))
    guard.check(100)
    assert not guard.done
    guard.see(torch.eye(10), torch.arange(10))
    guard.check(100)
    assert guard.done


def test_a_batch_that_does_not_fit_is_refused_with_one_that_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 200_000)
    with pytest.raises(PermanentError, match=r"batch of 256 .* --batch-size (\d+) would") as error:
        fit(tmp_path, batch_size=256)
    size = int(str(error.value).split("--batch-size ")[1].split()[0])
    assert 1 <= size < 256
    assert fit(tmp_path, batch_size=size, epochs=1)[0].facts["steps"] == 300 // size


def test_what_is_kept_for_the_backward_pass_is_counted_and_leaves_no_trace() -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    states = torch.get_rng_state()
    samples = halves(2)

    def loss_of(count: int) -> Tensor:
        return measure(net, *samples.batch(slice(count), "cpu")).loss

    kept = memory.bytes_per_sample(net, loss_of)
    assert kept > 4 * 36 * 4  # the convolution's output at least: 4 channels of 6 x 6 floats
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(states, torch.get_rng_state())


def test_fewer_pictures_than_a_batch_are_one_batch(tmp_path: Path) -> None:
    trained, _ = fit(tmp_path, batch_size=4096, epochs=2)
    assert trained.facts["steps"] == 2


def test_the_time_that_it_will_take_is_said_after_the_first_steps(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
    with caplog.at_level(logging.INFO, "cvq.job"):
        pace = Pace(0, 1200)
        for done, seconds in enumerate([30.0, *[2.0] * 30], 1):  # the first step is the slowest
            now += seconds
            pace.step(done)
    [told] = caplog.messages
    assert told == "about 39m54s for the 1197 steps to go, at 2s each"
    caplog.clear()
    pace = Pace(0, 40)
    for done in range(1, 41):
        now += 0.01
        pace.step(done)
    assert not caplog.messages, "a training of a second is not worth a line"


def test_the_card_tells_names_and_no_paths(tmp_path: Path, ctx: LocalContext) -> None:
    spec = MlpSpec(data=tmp_path / "garments", augment=tmp_path / "mine.json", epochs=3)
    command = card.command_of("fmnist-mlp", spec)
    assert "--data garments" in command
    assert "--augment mine.json" in command
    assert str(tmp_path) not in command
    sha256 = "0" * 64
    for data, said, unknown in (
        ({"name": "garments", "sha256": sha256}, "--data garments", True),
        ({"name": "a b", "sha256": sha256}, "--data 'a b'", True),
        ({"name": "mnist", "sha256": sha256}, "--data mnist", False),
    ):
        spec = MlpSpec.model_validate({"data": data, "preset": "course"})
        card.write_card(
            ctx, kind="fmnist-mlp", summary="", spec=spec, data={}, use="",
            figures={"epochs": 156, "batch_size": 16},
        )  # fmt: skip
        text = (ctx.folder / "model-card.md").read_text()
        assert said in text
        assert ("Put in the path of `" in text) == unknown
        assert "| epochs | auto (156) |" in text
        assert "| batch size | 32 |" in text


def test_the_log_tells_what_is_trained_and_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "cvq.job"):
        fit(tmp_path, epochs=1)
    assert "network: 338 weights, on cpu in torch." in caplog.text
    assert "training: 300 samples, validated on 80; 1 epochs of 9 steps, 32 samples a step" in (
        caplog.text
    )
    assert "epoch 1 of 1: train_loss" in caplog.text
