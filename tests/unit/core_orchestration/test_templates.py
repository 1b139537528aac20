"""Templates keep JSON types, read plain data and say what they cannot find."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from core_orchestration.language import (
    Reference,
    Template,
    TemplateRenderError,
    TemplateSyntaxError,
    read_template,
)

SCOPE: dict[str, Any] = {
    "context": {
        "input": {"user_query": "why?", "limit": 3, "odd key": {"x": 1}, "2": "two"},
        "research": {"items": [{"title": "First"}, {"title": "Last"}], "n": None},
    },
    "output": {"score": 0.5, "ok": True},
}


def render(template: Any) -> Any:
    return Template.parse(template).render(SCOPE)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ context.input.limit }}", 3),
        ("{{output.ok}}", True),
        ("{{ context.research.n }}", None),
        ("{{ context.research.items.0.title }}", "First"),
        ("{{ context.research.items[-1].title }}", "Last"),
        ('{{ context.input["odd key"].x }}', 1),
        ("{{ context.input.2 }}", "two"),
        ("{{ context.input[context.input['2'] | replace('two', '2')] }}", "two"),
        ("{{ context['research']['items'][0] }}", {"title": "First"}),
        ("{{ output }}", {"score": 0.5, "ok": True}),
    ],
)
def test_a_single_placeholder_yields_the_value_itself(
    template: str, value: object
) -> None:
    rendered = render(template)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("q: {{ context.input.user_query }}", "q: why?"),
        (" {{ context.input.limit }}", " 3"),
        ("{{ output.ok }}/{{ context.research.n }}", "true/null"),
        ("{{ output.score }}{{ output.score }}", "0.50.5"),
        ("is {{ output }}", 'is {"score":0.5,"ok":true}'),
        ("{{ '{{' }} and {{ '{%' }}", "{{ and {%"),
        ("no placeholders }} here\r\n", "no placeholders }} here\r\n"),
        ("kept\r\nlines {{ output.score }}\n", "kept\r\nlines 0.5\n"),
        ("{# not a comment #} {{ '#}' }}", "{# not a comment #} #}"),
    ],
)
def test_inside_other_text_values_become_text(template: str, value: str) -> None:
    assert render(template) == value


def test_templates_may_be_any_json_and_leave_other_values_alone() -> None:
    template = {"a": ["{{ output.score }}", 1, None, {"b": "{{ output.ok }}!"}]}
    assert render(template) == {"a": [0.5, 1, None, {"b": "true!"}]}


def test_a_text_that_looks_like_json_stays_text() -> None:
    scope = {"output": "[1, 2]"}
    assert Template.parse("{{ output }}").render(scope) == "[1, 2]"


def test_any_mapping_can_be_read() -> None:
    scope = MappingProxyType({"output": MappingProxyType({"a": (1, 2)})})
    assert Template.parse("{{ output.a.1 }}").render(scope) == 2
    assert Template.parse("x{{ output }}").render(scope) == 'x{"a":[1,2]}'


def test_changing_a_result_never_changes_the_template() -> None:
    template = Template.parse({"fixed": {"list": [1]}, "made": "{{ [1] }}"})
    result = template.render(SCOPE)
    result["fixed"]["list"].append(2)
    result["made"].append(2)
    assert template.render(SCOPE) == {"fixed": {"list": [1]}, "made": [1]}


@pytest.mark.parametrize(
    ("template", "path", "nearest"),
    [
        ("{{ context.research.itms }}", "context.research.itms", "items"),
        ("{{ context.resarch.items.0 }}", "context.resarch", "research"),
        ("{{ context.research.items.2 }}", "context.research.items.2", "1"),
        ("{{ context.research.items[-3] }}", "context.research.items[-3]", "1"),
        ("{{ context.research.items.title }}", "context.research.items.title", "1"),
        ("{{ context.input.limit.x }}", "context.input.limit.x", None),
        ("{{ context.research.n.x }}", "context.research.n.x", None),
        ("{{ outptu.score }}", "outptu", "output"),
        ("text {{ context.input.zzzzz }}", "context.input.zzzzz", None),
        ("{{ context.input.user_query.0 }}", "context.input.user_query.0", None),
    ],
)
def test_an_unresolved_path_is_named_with_the_nearest_name(
    template: str, path: str, nearest: str | None
) -> None:
    with pytest.raises(TemplateRenderError) as caught:
        render(template)
    assert (caught.value.path, caught.value.nearest) == (path, nearest)
    assert path in str(caught.value)
    assert nearest is None or nearest in str(caught.value)


def test_an_error_points_to_its_text_inside_the_template() -> None:
    with pytest.raises(TemplateRenderError) as caught:
        render({"a/b": [1, "{{ context.nope }}"]})
    assert caught.value.pointer == "/a~1b/1"


def test_the_first_step_has_no_output_to_read() -> None:
    with pytest.raises(TemplateRenderError, match="no 'output'"):
        Template.parse("{{ output }}").render({"context": {}})


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ context.nope | default('x') }}", "x"),
        ("{{ context.nope.deeper.0 | default }}", ""),
        ("{{ context.nope | upper | default('x') }}", "x"),
        ("{{ output.score | default('x') }}", 0.5),
        ("{{ context.research.n | default('x') }}", None),
        ("{{ context.research.n | default('x', true) }}", "x"),
        ("{{ context.research.n | default('x', boolean=true) }}", "x"),
        ("{{ nope | default(output.ok) }}", True),
        ("{{ [] | first | default('none') }}", "none"),
        ("{{ nope | default({'a': {'b': 1}}) }}", {"a": {"b": 1}}),
    ],
)
def test_default_answers_for_what_does_not_resolve(
    template: str, value: object
) -> None:
    assert render(template) == value


def test_references_are_full_paths_and_know_which_are_optional() -> None:
    template = Template.parse(
        {
            "a": "{{ context.x.items[0]['odd key'] }}",
            "b": "{{ context.maybe | default(output.y) }} {{ context[output.z] }}",
        }
    )
    assert template.references == {
        Reference("context", ("x", "items", 0, "odd key")),
        Reference("context", ("maybe",), optional=True),
        Reference("output", ("y",)),
        Reference("context"),
        Reference("output", ("z",)),
    }
    assert not template.is_constant


def test_a_reference_reads_as_it_is_written() -> None:
    reference = Reference("context", ("a", 0, "odd key", -1))
    assert str(reference) == 'context.a.0["odd key"][-1]'


def test_a_template_without_placeholders_is_constant() -> None:
    template = Template.parse({"a": [1, "text"]})
    assert template.is_constant
    assert template.references == frozenset()


@pytest.mark.parametrize(
    ("template", "position", "part"),
    [
        ("ab {{ context.x", 3, "not closed"),
        ("{{ }}", 2, "empty"),
        ("{{ 'open }}", 3, "not closed"),
        ("{{ (1 }}", 7, "Unexpected"),
        ("{{ 1 ", 0, "not closed"),
        ("{{ a) }}", 4, "Unexpected"),
        ("{{ a b }}", 2, "Unexpected"),
        ("{{ a. }}", 2, "."),
        ("{{- a }}", 2, "Whitespace control"),
        ("{{ a -}}", 2, "Whitespace control"),
        ("x {% if a %}", 2, "Statements"),
        ("{{ a }} {% raw %}", 8, "Statements"),
        ("{{ a[1:2] }}", 2, "Slices"),
        ("{{ a is defined }}", 2, "Tests"),
        ("{{ a if b }}", 2, "else"),
        ("{{ a | uper }}", 2, "upper"),
        ("{{ a | join(1, 2, 3) }}", 2, "arguments"),
        ("{{ a | join(*b) }}", 2, "unpacked"),
        ("{{ 1e999 }}", 2, "range"),
        ("{{ '\\ud800' }}", 2, "surrogate"),
        ("{{ '\\x00' }}", 2, "NUL"),
    ],
)
def test_syntax_errors_say_where_and_what(
    template: str, position: int, part: str
) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.parse({"deep": [template]})
    assert caught.value.pointer == "/deep/0"
    assert caught.value.position == position
    assert part in str(caught.value)


def test_all_faults_of_a_template_are_listed_at_once() -> None:
    faulty = {"a": "{{", "b": ["{% x %}", "{{ fine }}"], "{{ c }}": 1}
    pointers = [problem.pointer for problem in read_template(faulty).problems]
    assert pointers == ["/a", "/b/0", "/{{ c }}"]
