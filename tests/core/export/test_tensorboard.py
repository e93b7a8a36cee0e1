"""TensorBoard reads what is written for it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from steps import get, new, opened, submit

from cvq import schema
from cvq.export import tensorboard
from cvq.export.reading import Exported
from cvq.records import StoredPoint

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


def curve(name: str, *values: float | None) -> list[StoredPoint]:
    return [StoredPoint(n, 1, 1, name, 10 * n, value, AT) for n, value in enumerate(values)]


@pytest.fixture
def exported(home: Path) -> Exported:
    with opened() as database:
        schema.ensure(database)
        spec = {"lr": 0.1, "epochs": 3, "name": "größe", "flag": True, "model": {"a": {"b": 1}}}
        [number] = submit(database, replace(new(), spec=spec))
        job = get(database, number)
    curves = {"loss": curve("loss", 1.5, None, 0.25), "val/ä": curve("val/ä", 1e300, -7.0)}
    return Exported(job, [], [], curves)


def read(path: Path) -> Any:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return list(EventFileLoader(str(path)).Load())


def test_metrics_come_back(exported: Exported, tmp_path: Path) -> None:
    path = tensorboard.write(exported, tmp_path)
    assert path.parent.name == f"{exported.job.id}-selftest"
    first, _, *events = read(path)
    assert first.file_version == "brain.Event:2"
    found: dict[str, list[tuple[int, float, float]]] = {}
    for event in events:
        [value] = event.summary.value
        number = value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
        found.setdefault(value.tag, []).append((event.step, number, event.wall_time))
    assert [step for step, _, _ in found["loss"]] == [0, 10, 20]
    assert found["loss"][0][1] == 1.5
    assert math.isnan(found["loss"][1][1])
    assert found["loss"][2][1:] == (0.25, AT.timestamp())
    assert [value for _, value, _ in found["val/ä"]] == [math.inf, -7.0]


def test_parameters_come_back(exported: Exported, tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    event = read(tensorboard.write(exported, tmp_path))[1]
    [value] = event.summary.value
    content = value.metadata.plugin_data.content
    started = metadata.parse_session_start_info_plugin_data(content)
    found = dict(started.hparams.items())
    assert found["lr"].number_value == 0.1
    assert found["name"].string_value == "größe"
    assert found["flag"].bool_value is True
    assert found["model.a.b"].number_value == 1
    assert started.group_name == str(exported.job.id)


def test_a_second_export_takes_the_place_of_the_first(exported: Exported, tmp_path: Path) -> None:
    first = tensorboard.write(exported, tmp_path)
    before = first.read_bytes()
    assert tensorboard.write(exported, tmp_path) == first
    assert first.read_bytes() == before
    assert len(list(tmp_path.rglob("*tfevents*"))) == 1


def test_a_kind_of_any_name_has_a_folder(exported: Exported, tmp_path: Path) -> None:
    odd = replace(exported, job=replace(exported.job, kind="../a b\n"))
    assert tensorboard.write(odd, tmp_path).parent.parent == tmp_path
