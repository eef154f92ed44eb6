"""What the declarations of options say to those who render them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from core.config.fields import Also, Bounds, FieldSpec, Section, Shown, SplitAt, describe, shown
from core.config.generation import GenerationOptions
from core.config.model import ModelOptions
from core.config.sources import SourceOptions


class Sample(Section):
    title: ClassVar[str] = "Sample"

    rate: Annotated[float, Field(gt=0, le=1), Also("learning_rate", "lr")] = 0.5
    """How fast.

    In more than one line."""

    names: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ()
    """Whose."""

    kind: Literal["a", "b"] | None = None
    """Which."""

    asked: bool
    """Has no default."""

    plain: Annotated[bool, Field(alias="json")] = False
    """A name that pydantic keeps."""


def test_a_section_is_described_field_by_field() -> None:
    assert describe(Sample) == [
        FieldSpec(
            name="rate",
            section="Sample",
            kind="number",
            default=0.5,
            help="How fast.  In more than one line.",
            bounds=Bounds(0, 1, open_low=True),
            aliases=("learning_rate", "lr"),
        ),
        FieldSpec("names", "Sample", "list", (), "Whose.", separator=",", metavar="NAME,…"),
        FieldSpec("kind", "Sample", "choice", None, "Which.", optional=True, choices=("a", "b")),
        FieldSpec("asked", "Sample", "switch", None, "Has no default.", required=True),
        FieldSpec("json", "Sample", "switch", False, "A name that pydantic keeps."),
    ]


def test_every_option_has_help_and_no_name_is_taken_twice() -> None:
    specs = describe(ModelOptions, GenerationOptions, SourceOptions)
    assert [spec.name for spec in specs if not spec.help.endswith((".", ")"))] == []
    names = [name for spec in specs for name in (spec.name, *spec.aliases)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (Bounds(), ""),
        (Bounds(0, 1), "from 0 to 1"),
        (Bounds(0, 1, open_low=True), "above 0, up to 1"),
        (Bounds(0.5, 2, open_high=True), "from 0.5 up, below 2"),
        (Bounds(low=1), "from 1 up"),
        (Bounds(high=4294967295), "up to 4294967295"),
    ],
)
def test_bounds_read_as_words(bounds: Bounds, text: str) -> None:
    assert str(bounds) == text


def test_what_is_expected_is_said_in_one_phrase() -> None:
    expects = {spec.name: spec.expects for spec in describe(Sample, GenerationOptions)}
    assert expects["rate"] == "a number above 0, up to 1"
    assert expects["kind"] == "one of a, b"
    assert expects["asked"] == "true or false"
    assert expects["max_new_tokens"] == "a whole number from 1 up"
    assert expects["default_system"] == "a text"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (0.30000000000000004, "0.30000000000000004"),
        (1.0, "1"),
        (5e-05, "5e-05"),
        (7, "7"),
        ((), ""),
        (("one",), "one"),
        (("a,b",), '["a,b"]'),
        (("a", "\n"), '["a", "\\n"]'),
        ("plain", "plain"),
    ],
)
def test_values_are_shown_as_one_would_type_them(value: object, text: str) -> None:
    assert shown(value) == text


def test_sections_cannot_be_changed_and_take_no_other_fields() -> None:
    options = GenerationOptions()
    with pytest.raises(ValidationError, match="frozen"):
        options.temperature = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        GenerationOptions(beams=4)  # type: ignore[call-arg]


def test_a_type_that_no_form_could_show_is_a_mistake_of_the_declaration() -> None:
    class Odd(Section):
        title: ClassVar[str] = "Odd"
        odd: bytes = b""

    with pytest.raises(TypeError, match="odd: no option can be of type"):
        describe(Odd)


@pytest.mark.parametrize(
    ("options", "greedy"),
    [
        (GenerationOptions(temperature=0.7), False),
        (GenerationOptions(temperature=0.1), False),
        (GenerationOptions(do_sample=False, temperature=1), True),
        (GenerationOptions(do_sample=True, temperature=1), False),
    ],
)
def test_answers_are_greedy_when_asked_for_in_either_way(options: GenerationOptions, greedy: bool) -> None:
    assert options.greedy is greedy
