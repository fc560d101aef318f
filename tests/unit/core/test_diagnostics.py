"""What is wrong with a TOML document is told with its key, its line and the rule."""

import tomllib
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from sitegen.core.diagnostics import (
    toml_diagnostics,
)


class Line(BaseModel, extra="forbid"):
    """One member of a union."""

    kind: Literal["line"]
    length: float = Field(gt=0)


class Grid(BaseModel, extra="forbid"):
    """The other one."""

    kind: Literal["grid"]
    sides: tuple[Annotated[int, Field(ge=1, lt=9)], ...]
    width: int = Field(2, ge=1, lt=9)
    depth: float = Field(0.5, gt=0, le=1)
    most: int = Field(0, le=3)
    any: int = 0


class Document(BaseModel, extra="forbid"):
    """A whole document."""

    shape: Annotated[Line | Grid, Field(discriminator="kind")] | None = None
    name: str = Field("", description="What it is called.")

    @model_validator(mode="after")
    def _named(self) -> "Document":
        if self.name == "no":
            raise ValueError("should have another name")
        return self


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('[shape]\nkind = "line"\nlength = 0',
         ["x:3: shape.length = 0: Input should be greater than 0"]),
        ('[shape]\nkind = "grid"', ["x:1: shape.sides is missing: "]),
        (
            'naem = 1\n[shape]\nkind = "grid"\nsides = [1, 0]\nwidth = 9\ndepth = 2\nmost = 4\n'
            'any = "x"\nlenght = 1',
            [
                'x:1: naem: unknown key, did you mean "name"?',
                "x:4: shape.sides[1] = 0: Input should be greater than or equal to 1",
                "x:5: shape.width = 9: Input should be less than 9",
                "x:6: shape.depth = 2: Input should be less than or equal to 1",
                "x:7: shape.most = 4: Input should be less than or equal to 3",
                'x:8: shape.any = "x": Input should be a valid integer, '
                "unable to parse string as an integer",
                'x:9: shape.lenght: unknown key, did you mean "length"?',
            ],
        ),
        ('name = "no"', ["x: should have another name"]),
    ],
)  # fmt: skip
def test_toml_diagnostics(text: str, lines: list[str]) -> None:
    """In the order of the lines; members of unions are no keys."""
    with pytest.raises(ValidationError) as caught:
        Document.model_validate(tomllib.loads(text))
    found = toml_diagnostics(caught.value, Document, text, "x")
    assert [str(each) for each in found] == lines
