"""The specification that kinds have in common which use a trained model."""

from __future__ import annotations

from pydantic import Field

from .spec import Spec


class InferenceSpec(Spec):
    """Base of specifications that ask a trained model."""

    exact: bool = Field(
        False,
        description="The same answer to the last bit, alone or in any company; slower.",
    )
