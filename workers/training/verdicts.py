"""Judgements at the end of a training: one that has learnt nothing says so.

Each function returns a sentence, or None where there is nothing to say. A network is held against
the best answer that needs no network: the commonest class, the mean picture, a grey copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BY_LUCK = 0.01  # as likely as this, an accuracy is luck
_NEARLY_ALL = 0.9
_FEWEST = 10  # pictures that tell what a network says
_OWN_SHARES = 30  # test pictures whose own classes tell what is commonest
_SHORT = 1.1  # times another answer's error, an error falls short of it
_SOMETHING_NATS = 1.0  # that tell three kinds of pictures apart

Labels = NDArray[np.int64]
Errors = NDArray[np.floating]


def of_classifier(
    predicted: Labels, true: Labels, trained_on: Labels, classes: Sequence[str]
) -> list[str]:
    """What is wrong with a classifier's answers to the test pictures."""
    found = [
        no_better_than_chance(predicted, true, trained_on, classes),
        one_answer(predicted, true, classes),
    ]
    return [sentence for sentence in found if sentence]


def no_better_than_chance(
    predicted: Labels, true: Labels, trained_on: Labels, classes: Sequence[str]
) -> str | None:
    """Whether as many answers would be right without looking, all alike or by luck."""
    counts = np.bincount(true if len(true) >= _OWN_SHARES else trained_on, minlength=len(classes))
    commonest, chance = int(counts.argmax()), float(counts.max() / counts.sum())
    count, right = len(true), int((predicted == true).sum())
    if at_least(count, count, chance) > _BY_LUCK:
        noun = "1 test picture is" if count == 1 else f"{count} test pictures are"
        return f"{noun} too few to tell whether the network is better than chance: add pictures"
    if at_least(right, count, chance) <= _BY_LUCK:
        return None
    return (
        f"the network is no better than chance: {right} of {count} test pictures are right "
        f"({right / count:.1%}), and '{classes[commonest]}' for each would be right for about "
        f"{chance:.1%}; are the labels right? Else try more --epochs or another --learning-rate"
    )


def at_least(right: int, count: int, chance: float) -> float:
    """The probability of so many right answers or more, each right by chance (binomial)."""
    if chance >= 1 or right == 0:
        return 1.0
    if chance <= 0:
        return 0.0

    def logarithm(k: int) -> float:
        ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        return ways + k * math.log(chance) + (count - k) * math.log1p(-chance)

    return min(1.0, math.fsum(math.exp(logarithm(k)) for k in range(right, count + 1)))


def one_answer(predicted: Labels, true: Labels, classes: Sequence[str]) -> str | None:
    """Whether nearly every answer is the same class, or some classes are never answered."""
    if len(true) < _FEWEST:
        return None
    said = np.bincount(predicted, minlength=len(classes))
    are = np.bincount(true, minlength=len(classes))
    most = int(said.argmax())
    if said[most] >= _NEARLY_ALL * len(true) and said[most] - are[most] > 0.1 * len(true):
        return (
            f"the network says '{classes[most]}' for {said[most]} of {len(true)} test pictures, "
            f"which {are[most]} are: try another --learning-rate, or more pictures of the others"
        )
    never = [name for name, s, a in zip(classes, said, are, strict=True) if a >= _FEWEST and not s]
    if never:
        more = f" and {len(never) - 5} more" if len(never) > 5 else ""
        return f"the network never says {', '.join(map(repr, never[:5]))}{more}"
    return None


def no_better(errors: Errors, others: Errors, what: str) -> str | None:
    """Whether errors, one a picture, are no smaller than those of a simple answer to the same.

    Args:
        errors: (N,) of the network.
        others: (N,) of the simple answer.
        what: the simple answer, for example `the mean picture`.
    """
    sure = _surely(errors, others)
    if sure > 0:
        return None
    relation = "is worse than" if sure < 0 else "is within chance of"
    return (
        f"the network {relation} {what}: an error of {_compared(errors, others)}; it has learnt "
        "nothing that surely helps: try more --epochs or another --learning-rate"
    )


def worse(errors: Errors, others: Errors, what: str) -> str | None:
    """Whether errors are larger than those of an answer that it would be no shame to equal.

    Args:
        errors: (N,) of the network.
        others: (N,) of the other answer.
        what: the other answer, for example `32 principal components`.
    """
    if _surely(errors, others) >= 0 or errors.mean() < _SHORT * others.mean():
        return None
    return (
        f"the network falls short of {what}: an error of {_compared(errors, others)}; try more "
        "--epochs, or more pictures"
    )


def unused_latents(divergence: float, latent: int) -> str | None:
    """Whether a variational autoencoder tells pictures apart by its latents.

    Args:
        divergence: mean KL divergence of the posterior from the prior, nats a picture: what the
            latents say of a picture.
        latent: how many there are.
    """
    if divergence >= _SOMETHING_NATS:
        return None
    return (
        f"the latent space is not used: its {latent} dimensions say {divergence:.2g} nats of a "
        "picture, so that all are decoded nearly alike; try more --epochs or a smaller --beta"
    )


def _surely(errors: Errors, others: Errors) -> int:
    """1 where errors are smaller than others by more than chance, -1 where larger, else 0."""
    gain = others.astype(np.float64) - errors.astype(np.float64)
    noise = 2 * gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else 0.0
    return int(gain.mean() > noise) - int(gain.mean() < -noise)


def _compared(errors: Errors, others: Errors) -> str:
    return f"{errors.mean():.4g} against {others.mean():.4g} on {len(errors)} held out"
