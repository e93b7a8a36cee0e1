"""What is wrong with a value is said in our own words, whichever of pydantic's errors it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from cvq import Client
from cvq.complaints import bounds_of, problems
from cvq.errors import UsageError
from cvq.inputs.data import DataSource
from cvq.inputs.files import ImageFile
from cvq.inputs.models import ModelFile
from cvq.settings import Settings


class Every(BaseModel):
    """A field of each sort that a specification has."""

    model_config = {"extra": "forbid", "allow_inf_nan": False}

    needed: int = 1
    count: int = Field(1, ge=1, le=10)
    share: float = Field(0.5, gt=0)
    even: int = Field(8, ge=8, le=512, multiple_of=2)
    flag: bool = True
    word: str = Field("a", min_length=1, max_length=3)
    shape: str = Field("a", pattern="^(a|b)$")
    choice: Literal["cnn", "resnet"] = "cnn"
    numbers: list[float] = Field([1, 2], min_length=2, max_length=3)
    pair: tuple[int, int] = (1, 2)
    shares: list[Annotated[float, Field(ge=0)]] = [1]
    either: int | list[str] = 1
    perhaps: int | None = Field(None, ge=2)
    record: dict[str, int] = {}
    picture: ImageFile | None = None
    pictures: list[ImageFile] = []
    model: ModelFile | None = None
    data: DataSource | None = None

    @model_validator(mode="after")
    def _fits(self) -> Every:
        if self.count == 7:
            raise ValueError("count and share do not fit")
        return self


class Needed(BaseModel):
    """One that has to be given."""

    model: ModelFile


def said(model: type[BaseModel] = Every, /, **values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return "; ".join(each.sentence(each.field or "") for each in problems(caught.value, model))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"count": 0}, "count 0: give 1 to 10"),
        ({"count": 11}, "count 11: give 1 to 10"),
        ({"count": "x"}, "count 'x': give a whole number, 1 to 10"),
        ({"count": 1.5}, "count 1.5: give a whole number, 1 to 10"),
        ({"count": None}, "count: give a whole number, 1 to 10"),
        ({"needed": [1, 2]}, "needed (2 given): give a whole number"),
        ({"needed": "9" * 5000}, f"needed '{'9' * 58}…: give a whole number"),
        ({"share": 0}, "share 0: give above 0"),
        ({"share": float("nan")}, "share nan: give a finite number, above 0"),
        ({"share": {}}, "share: give a number, above 0"),
        ({"even": 9}, "even 9: give 8 to 512, a multiple of 2"),
        ({"flag": 3}, "flag 3: give yes or no"),
        ({"flag": []}, "flag (0 given): give yes or no"),
        ({"word": 3}, "word 3: give text"),
        ({"word": ""}, "word '': give at least 1 character"),
        ({"word": "long"}, "word 'long': give at most 3 characters"),
        ({"shape": "c"}, "shape 'c': give text that matches ^(a|b)$"),
        ({"choice": "resnt"}, "choice 'resnt': give 'cnn' or 'resnet'; did you mean 'resnet'?"),
        ({"numbers": [1]}, "numbers (1 given): give at least 2"),
        ({"numbers": [1, 2, 3, 4]}, "numbers (4 given): give at most 3"),
        ({"pair": [1]}, "pair (1 given): give at least 2"),
        ({"pair": [1, 2, 3]}, "pair (3 given): give at most 2"),
        ({"numbers": ["x", "y"]}, "numbers 'x': give a number"),
        ({"numbers": 3}, "numbers 3: give a list"),
        ({"shares": [1, -2]}, "shares -2: give at least 0"),
        ({"either": {}}, "either: give a whole number or a list"),
        ({"perhaps": 1}, "perhaps 1: give at least 2"),
        ({"record": 3}, "record 3: give names with values"),
        ({"picture": 3}, "picture 3: give the path of a file"),
        ({"pictures": [3]}, "pictures 3: give the path of a file"),
        ({"model": []}, "model (0 given): give the job that trained it, or its id"),
        ({"data": 3}, "data 3: give the path of a file"),
        ({"data": {"name": "x", "size": 3}}, "data 3: there is no 'size' in it"),
        ({"count": 7}, "count and share do not fit"),
        ({"cuont": 7}, "there is no 'cuont', did you mean 'count'?"),
        ({"count": 0, "share": 0}, "count 0: give 1 to 10; share 0: give above 0"),
    ],
)
def test_every_error_says_what_was_given_and_what_is_wanted(
    values: dict[str, Any], told: str
) -> None:
    assert said(**values) == told


def test_what_is_missing() -> None:
    assert said(Needed) == "needs model"


def test_bounds() -> None:
    told = [bounds_of(Every.model_fields[name]) for name in ("count", "share", "even", "flag")]
    assert told == ["1 to 10", "above 0", "8 to 512, a multiple of 2", ""]


def test_the_client_names_fields(client: Client) -> None:
    with pytest.raises(UsageError, match=r"^classify: needs images; needs model$"):
        client.check("classify")
    with pytest.raises(UsageError, match=r"^selftest: steps 0: give 1 to 1000000$"):
        client.check("selftest", steps=0)


def test_settings_speak_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_LEASE", "0")
    with pytest.raises(UsageError, match=r"^setting 'lease' \(CVQ_LEASE\) '0': give 1 to 3600$"):
        Settings.load()
    with pytest.raises(UsageError, match="no 'laese', did you mean 'lease'") as caught:
        Settings.load(laese=3, lease=3)
    assert "CVQ_LAESE" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        Settings.load(broker_url=["redis://:hunter2@h/0"], lease=3)
    assert "hunter2" not in str(caught.value)
