"""A job kind of one's own: ResNet-18 on a folder of pictures, used by `cvq submit classify`.

export CVQ_KINDS=resnet PYTHONPATH=examples    # for `cvq up` and `cvq submit` alike
cvq submit resnet --data pictures/ --epochs 10
"""

from __future__ import annotations

from typing import Any

from cvq import ClassifierSpec, Kind


class ResNetSpec(ClassifierSpec):
    """Train torchvision's ResNet-18, from nothing, on pictures of 64 x 64 pixels."""

    @property
    def picture(self) -> tuple[int, int, int]:
        """Height, width and channels of what the network sees."""
        return 64, 64, 3


def network(spec: ResNetSpec, facts: dict[str, Any]) -> Any:
    """The network; PyTorch is imported here, as those who submit need none."""
    from torchvision.models import resnet18

    from cvq_workers.training import scaled

    return scaled(resnet18(num_classes=len(facts["classes"])), facts)


def run(spec: ResNetSpec, ctx: Any) -> dict[str, Any]:
    """Train; resumes, and leaves model, card, curves, test figures and confusion matrix."""
    from cvq_workers.training import train_classifier

    return train_classifier("resnet", "torchvision's ResNet-18.", spec, ctx, network)


KIND = Kind("resnet", ResNetSpec, "resnet:run", "Train a ResNet-18.",
            offers=("classifier",), network="resnet:network")  # fmt: skip
