"""Augmentation pipelines from files: what is taken, what is refused, and in which words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cvq.errors import InvalidInputError
from cvq.inputs.pipelines import (
    MAX_BYTES,
    check_pipeline,
    make_pipeline,
    read_pipeline,
)

GREY, COLOURED = (28, 28, 1), (32, 48, 3)


@pytest.fixture(autouse=True)
def _no_question_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")


def serialised(*transforms: dict[str, Any]) -> str:
    return json.dumps(
        {"transform": {"__class_fullname__": "Compose", "p": 1.0, "transforms": transforms}}
    )


def transform(name: str, **values: Any) -> dict[str, Any]:
    return {"__class_fullname__": name, "p": 1.0, **values}


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize("shape", [GREY, COLOURED])
def test_what_albumentations_saved_is_made_again(
    tmp_path: Path, form: Any, shape: tuple[int, int, int]
) -> None:
    import albumentations
    import numpy as np

    given = albumentations.Compose(
        [albumentations.HorizontalFlip(p=1.0), albumentations.OneOf([albumentations.Blur()])]
    )
    path = tmp_path / f"pipeline.{form}"
    albumentations.save(given, path, data_format=form)
    check_pipeline(path, shape)
    made = make_pipeline(path, shape)
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).squeeze()
    for pipeline in (given, made):
        pipeline.set_random_seed(7)
    assert (made(image=picture)["image"] == given(image=picture)["image"]).all()


def test_a_single_transform_is_a_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "flip.json"
    path.write_text(json.dumps({"transform": transform("HorizontalFlip")}))
    assert make_pipeline(path, GREY)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": [1', "is neither JSON nor YAML"),
        ("", "is no pipeline of albumentations"),
        ("[1, 2]", "is no pipeline of albumentations"),
        ('{"transform": {"transforms": []}}', "is no pipeline of albumentations"),
        ('{"transform": {"__class_fullname__": 3}}', "is no pipeline of albumentations"),
        (serialised({"p": 1}), "is no pipeline of albumentations"),
        ("[" * 100_000, "is neither JSON nor YAML"),
        (b"\xff\xfe\x00", "is neither JSON nor YAML"),
        (b" " * (MAX_BYTES + 1), "is larger than 1 MiB"),
        (serialised(transform("Rotate", limit=float("nan"))), "has nan where a number"),
        ('{"transform": {"__class_fullname__": "Rotate", "limit": [0, 1e999]}}', "has inf where"),
        ("transform: {__class_fullname__: Rotate, limit: -.inf}", "has -inf where a number"),
    ],
)
def test_a_file_that_is_no_pipeline_needs_no_albumentations_to_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    path = tmp_path / "pipeline.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InvalidInputError, match=said) as raised:
        check_pipeline(path, GREY)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (serialised(transform("os.system")), "albumentations has no transform 'os.system'"),
        (serialised({**transform("Lambda"), "name": "mine"}), "albumentations has no transform"),
        (serialised(transform("HorizontalFlip", quality=3)), "'quality' are not valid"),
        (serialised(transform("HorizontalFlip") | {"p": 7}), "less than or equal to 1"),
        (serialised(transform("Resize", height=20, width=20)), "uint8 (20, 20): size and type"),
        (serialised(transform("Normalize")), "float32 (28, 28): size and type must stay"),
        (serialised(transform("HueSaturationValue")), "not applicable to grayscale"),
        (serialised(transform("RandomCrop", height=50, width=50)), "cannot be applied to a grey"),
    ],
)
def test_a_pipeline_that_would_fail_in_the_job_is_refused_before(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text(content)
    read_pipeline(path)  # nothing is wrong with the file itself
    with pytest.raises(InvalidInputError) as raised:
        check_pipeline(path, GREY)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def laughs(merged: bool) -> str:
    """Ten to the ninth transforms in a few hundred bytes."""
    lines = ["a0: &a0 {__class_fullname__: HorizontalFlip, p: 1.0}"]
    for level in range(1, 10):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        inside = f"<<: [{aliases}]" if merged else f"transforms: [{aliases}]"
        lines.append(f"a{level}: &a{level} {{__class_fullname__: Compose, p: 1.0, {inside}}}")
    return "\n".join([*lines, "transform: *a9"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (laughs(merged=False), "more than 20000 nodes"),
        (laughs(merged=True), "more than 20000 nodes"),
        ("transform: &a {transforms: [*a]}", "an alias stands within"),
        ("transform: *nothing", "an alias stands within"),
        ("a: " + "[" * 5000 + "]" * 5000, "more than 20000 nodes"),
        ("transform: !!python/object/apply:os.system ['true']", "could not determine"),
    ],
)
def test_yaml_that_grows_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    import yaml

    if "python" not in content:
        monkeypatch.setattr(yaml, "safe_load", lambda _: pytest.fail("it was made"))
    path = tmp_path / "pipeline.yaml"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=said) as raised:
        read_pipeline(path)
    assert "\n" not in str(raised.value)


def test_yaml_may_have_a_few_aliases(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "transform:\n  __class_fullname__: Compose\n  p: 1.0\n  transforms:\n"
        "  - &flip {__class_fullname__: HorizontalFlip, p: 0.5}\n  - *flip\n"
    )
    check_pipeline(path, GREY)


@pytest.mark.parametrize("name", ["HistogramMatching", "FDA", "TemplateTransform"])
def test_a_pipeline_opens_no_further_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text(serialised(transform(name, reference_images=["/etc/passwd"])))
    with pytest.raises(InvalidInputError, match=f"{name} reads further files"):
        read_pipeline(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"none\.json cannot be read"):
        check_pipeline(tmp_path / "none.json", GREY)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        check_pipeline(tmp_path, GREY)


def test_without_albumentations_a_good_file_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    path = tmp_path / "pipeline.json"
    path.write_text(serialised(transform("HorizontalFlip")))
    check_pipeline(path, GREY)


@pytest.mark.parametrize("many", [1, 10_000])
def test_json_that_would_take_hours_is_refused_before_it_is_tried(
    many: int, tmp_path: Path
) -> None:
    flip = {"__class_fullname__": "HorizontalFlip", "p": 0.5}
    made: dict[str, Any] = {"__class_fullname__": "Compose", "transforms": [flip] * many}
    for _ in range(30 if many == 1 else 0):
        made = {"__class_fullname__": "Compose", "transforms": [made]}
    path = tmp_path / "much.json"
    path.write_text(json.dumps({"transform": made}))
    with pytest.raises(InvalidInputError, match="has more than 20000 values, or more than 50"):
        read_pipeline(path)


@pytest.mark.parametrize(
    "text",
    [
        serialised(transform("HorizontalFlip")).replace('"p": 1.0', '"p": 1.0, "p": 0.0', 1),
        "transform:\n  __class_fullname__: HorizontalFlip\n  p: 1.0\n  p: 0.0\n",
        "transform: {__class_fullname__: Compose, transforms: [\n"
        "  {__class_fullname__: HorizontalFlip, p: 1.0, p: 0.0}]}\n",
    ],
)
def test_a_value_that_is_given_twice_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "twice"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="twice: 'p' stands twice in it"):
        read_pipeline(path)


def test_yaml_may_merge_a_table_and_change_a_value_of_it(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text(
        "transform:\n  __class_fullname__: Compose\n  transforms:\n"
        "  - &flip {__class_fullname__: HorizontalFlip, p: 0.5}\n  - {<<: *flip, p: 1.0}\n"
    )
    assert [each["p"] for each in read_pipeline(path)["transform"]["transforms"]] == [0.5, 1.0]
