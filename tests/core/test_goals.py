"""Which way a metric is better."""

from __future__ import annotations

import pytest

from cvq.goals import goal_of


@pytest.mark.parametrize(
    ("names", "goal"),
    [
        ("val_accuracy accuracy top5-acc val/f1 mIoU mAP@0.5 map50 psnr SSIM r2", "max"),
        ("images_per_second tokens_per_second", "max"),
        ("val_loss total_loss val_error mse nats train_seconds accuracy_loss top5_error", "min"),
        ("epoch learning_rate value größe mapped glossy", None),
    ],
)  # fmt: skip
def test_a_name_says_which_way_is_better(names: str, goal: str | None) -> None:
    assert {name: goal_of(name) for name in names.split()} == dict.fromkeys(names.split(), goal)


def test_what_a_kind_declares_wins() -> None:
    assert goal_of("val_chroma", {"val_chroma": "max"}) == "max"
    assert goal_of("loss", {"loss": "max"}) == "max"
    assert goal_of("val_loss", {"loss": "max"}) == "min"
