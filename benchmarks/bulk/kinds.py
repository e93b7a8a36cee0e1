"""Kinds whose jobs have nothing to do, or next to nothing."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Annotated, Any

from cvq import Argument, ImagesFile, Inference, InferenceSpec, Kind


class NoopSpec(InferenceSpec):
    """Do nothing."""

    numbers: Annotated[list[int], Argument("NUMBER...")]


class Noop(Inference):
    """Answers with the number that it is given."""

    def load(self, model: Any) -> None:
        """Nothing."""

    def infer(self, model: None, batch: Sequence[int]) -> list[dict[str, int]]:
        """The same numbers."""
        return [{"number": number} for number in batch]


class ChecksumSpec(InferenceSpec):
    """Read files."""

    images: Annotated[list[ImagesFile], Argument("FILE...")]


class Checksum(Inference):
    """Answers with what a file adds up to."""

    def load(self, model: Any) -> None:
        """Nothing."""

    def decode(self, model: None, item: Any) -> int:
        """The CRC of a file."""
        return zlib.crc32(item.read())

    def infer(self, model: None, batch: Sequence[int]) -> list[dict[str, int]]:
        """The same numbers."""
        return [{"crc": number} for number in batch]


KINDS = [
    Kind(
        name="noop", spec=NoopSpec, summary="Do nothing.",
        inference="benchmarks.bulk.kinds:Noop", items="numbers",
    ),
    Kind(
        name="checksum", spec=ChecksumSpec, summary="Read files.",
        inference="benchmarks.bulk.kinds:Checksum", items="images",
    ),
]  # fmt: skip
