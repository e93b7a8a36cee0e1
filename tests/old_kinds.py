"""The kind of `rude_kinds` as it was before it had an inference: its jobs take a while."""

from __future__ import annotations

import time
from typing import Any

from rude_kinds import RudeSpec

from cvq import Kind


def run(spec: RudeSpec, ctx: Any) -> dict[str, Any]:
    time.sleep(0.3)
    return {"alone": spec.words}


KINDS = [Kind(name="rude", spec=RudeSpec, run="old_kinds:run", summary="Do as the words say.")]
