"""Templates cannot leave the data, nor use more than their share of time and memory."""

from __future__ import annotations

import pytest

from core_orchestration.language import (
    Template,
    TemplateRenderError,
    TemplateSyntaxError,
)


class Secretive:
    """An object whose attributes must stay out of reach."""

    secret = "canary"

    def __getitem__(self, name: object) -> str:
        return self.secret

    def __str__(self) -> str:
        return self.secret


SCOPE = {
    "context": {"text": "abc", "items": [1], "long": "x" * 100_000},
    "object": Secretive(),
}


@pytest.mark.parametrize(
    "path",
    [
        "context.__class__",
        "context.__class__.__mro__",
        "context['__class__']",
        "context.text.__class__",
        "context.text.format",
        "context.items.append",
        "context.items['__len__']",
        "context.keys",
        "''.__class__",
        "[].__class__.__base__",
        "object.secret",
        "object[0]",
        "object['secret']",
        "object ~ ''",
        "object | string",
        "object | tojson",
        "self",
        "self.__init__",
        "range",
        "cycler.__init__.__globals__",
        "lipsum.__globals__",
        "namespace",
        "_environment",
        "__builtins__",
    ],
)
def test_nothing_but_data_can_be_reached(path: str) -> None:
    with pytest.raises(TemplateRenderError) as caught:
        Template.parse("{{ " + path + " }}").render(SCOPE)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "''.format(1)",
        "'{0.__class__}'.format(context)",
        "context.items()",
        "range(10 ** 9)",
        "range(1000000000)",
        "context | attr('__class__')",
        "context | map(attribute='__class__')",
        "context | xmlattr",
        "context | pprint",
        "'x' | center(1000000000)",
        "'%s' | format(context)",
        "dict(a=1)",
        "context is mapping",
        "9 ** 9 ** 9",
        "lipsum(n=100000)",
        "context[::-1]",
        "caller()",
        "super()",
    ],
)
def test_calls_and_foreign_filters_are_refused_when_parsed(expression: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        Template.parse("{{ " + expression + " }}")


@pytest.mark.parametrize(
    "statement",
    [
        "{% for x in y %}{% endfor %}",
        "{% set x = 1 %}",
        "{% include 'x' %}",
        "{%- import 'os' as os %}",
        "{{ 1 }}{% macro x() %}{% endmacro %}",
    ],
)
def test_statements_are_refused(statement: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="Statements"):
        Template.parse(statement)


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{{ " + "[" * 30 + "1" + "]" * 30 + " }}",
        "{{ " + "not " * 4_000 + "1 }}",
        "{{ " + "- " * 4_000 + "1 }}",
        "{{ 1" + " + 1" * 4_000 + " }}",
        "{{ 'a'" + " | upper" * 2_000 + " }}",
        "{{ a" + ".b" * 5_000 + " }}",
        "{{ a" + "[0]" * 5_000 + " }}",
        "{{ 1 if 1 else " * 1 + "1 if 1 else " * 1_000 + "1 }}",
        "{{ " + "9" * 5_000 + " }}",
        "{{ " + "9" * 2_000 + " }}",
        "{{ a }}" * 3_000,
        "{{ " + "{" * 9_000,
        "{{ '" + "\\" * 9_001,
        "{{" * 9_000,
    ],
)
def test_huge_and_deep_expressions_are_refused(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        Template.parse(text)


def test_deeply_nested_json_is_refused() -> None:
    value: object = "{{ context }}"
    for _ in range(51):
        value = [value]
    with pytest.raises(TemplateSyntaxError, match="50 levels"):
        Template.parse(value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ context.long }}" * 11,
        ["{{ context.long }}!"] * 11,
        "{{ context.long ~ context.long " + "~ context.long" * 10 + " }}",
        "{{ context.long + context.long " + "+ context.long" * 10 + " }}",
        "{{ context.long | replace('', context.long) }}",
        "{{ context.long | replace('x', '12345678901') }}",
        "{{ [" + "context.long," * 11 + "] | join }}",
        "{{ [" + "1," * 100 + "] | join(context.long) }}",
        "{{ [" + "context.long," * 11 + "] | tojson }}",
        "x {{ [" + "context.long," * 11 + "] }}",
    ],
)
def test_more_than_a_megabyte_of_text_is_refused(template: object) -> None:
    with pytest.raises(TemplateRenderError, match="characters"):
        Template.parse(template).render(SCOPE)


def test_numbers_cannot_grow_without_end() -> None:
    product = " * ".join(["9" * 300] * 10)
    with pytest.raises(TemplateRenderError, match="out of range"):
        Template.parse("{{ " + product + " }}").render({})


def test_a_large_value_passes_as_a_single_placeholder() -> None:
    scope = {"big": "x" * 5_000_000}
    assert Template.parse("{{ big }}").render(scope) is scope["big"]
