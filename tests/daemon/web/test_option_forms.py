"""Options of services as forms: whatever a kind has can be filled in, and comes back as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.services import OPTIONS_BY_KIND, ServiceOptions
from daemon.web.forms import Form
from daemon.web.option_forms import KIND_NAMES, PREFIX, about_kind, filled_options, option_fields, read_options

LINE = st.text(
    st.characters(codec="ascii", exclude_characters="\r\n./\\", categories=("L", "N", "P")), min_size=1, max_size=9
)


@pytest.mark.parametrize("kind", OPTIONS_BY_KIND)
def test_every_field_of_every_kind_is_asked_for_in_words(kind: str) -> None:
    fields = option_fields(kind)
    assert {field.name for field in fields} == set(OPTIONS_BY_KIND[kind].__struct_fields__)
    for field in fields:
        assert field.help, f"{kind} {field.name}: its source says nothing of it"
        assert field.label[0].isupper()
        assert "_" not in field.label, f"{field.name} needs a label"
        assert field.widget != "choice" or len(field.choices) > 1
    assert kind in KIND_NAMES
    assert about_kind(kind)


@pytest.mark.parametrize("kind", OPTIONS_BY_KIND)
def test_a_form_that_nobody_has_touched_gives_the_defaults(kind: str) -> None:
    default = OPTIONS_BY_KIND[kind]()
    assert read_options(kind, Form.filled(**filled_options(default))) == default


@st.composite
def options(draw: st.DrawFn) -> ServiceOptions:
    """Any that are valid."""
    kind = draw(st.sampled_from(sorted(OPTIONS_BY_KIND)))
    document: dict[str, Any] = {}
    for field in option_fields(kind):
        if field.widget == "choice":
            document[field.name] = draw(st.sampled_from(list(field.choices)))
        elif field.widget == "check":
            document[field.name] = draw(st.booleans())
        elif field.widget == "number":
            document[field.name] = draw(st.integers(field.least or 0, field.most or 9_999))
        else:
            document[field.name] = draw(st.lists(LINE, max_size=3))
    if document.get("method") == "physical":
        document |= {"include": [], "exclude": []}
    made: ServiceOptions = msgspec.convert(document, OPTIONS_BY_KIND[kind])
    return made


@given(options())
def test_what_is_filled_in_comes_back_as_it_was(chosen: ServiceOptions) -> None:
    kind = str(type(chosen).__struct_config__.tag)
    assert read_options(kind, Form.filled(**filled_options(chosen))) == chosen


@pytest.mark.parametrize(
    ("kind", "values", "field", "says"),
    [
        ("postgresql", {"parallel": "99"}, "option.parallel", "<= 32"),
        ("postgresql", {"parallel": "many"}, "option.parallel", "int"),
        ("postgresql", {"method": "physical", "include": "orders"}, None, "a physical backup has all databases"),
        ("shared-storage", {"exclude": "../etc"}, None, "relative to the tree"),
        ("teapot", {}, "kind", "there is no kind 'teapot'"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(kind: str, values: dict[str, str], field: str | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as told:
        read_options(kind, Form.filled(**{PREFIX + name: value for name, value in values.items()}))
    assert told.value.field == field
