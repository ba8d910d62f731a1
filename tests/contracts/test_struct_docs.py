"""What is written below a field is found, once, and nothing breaks where there is no source."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contracts.struct_docs import field_docs, type_doc


class Base(msgspec.Struct):
    """A base.

    With a second paragraph.
    """

    first: int
    """Of the
    base."""


class Derived(Base):
    second: int = 0
    third: str = ""
    """Its own."""

    class Inner(msgspec.Struct):
        first: int = 0
        """Of something else."""


class Colour(StrEnum):
    RED = "red"
    """As a rose."""
    BLUE = "blue"


def test_fields_of_bases_and_members_of_enums_have_what_stands_below_them() -> None:
    assert field_docs(Derived) == {"first": "Of the base.", "third": "Its own."}
    assert field_docs(Derived.Inner) == {"first": "Of something else."}
    assert field_docs(Colour) == {"RED": "As a rose."}


def test_a_class_without_a_docstring_does_not_speak_with_its_bases() -> None:
    assert type_doc(Base) == "A base.\n\nWith a second paragraph."
    assert type_doc(Derived) == ""


def test_a_class_that_no_file_holds_has_no_docs() -> None:
    made = msgspec.defstruct("Made", [("field", int)])
    assert field_docs(made) == {}
