from __future__ import annotations

import pytest

from roles.runners import RunnerError
from roles.runners.rendering import (
    prompt_problems,
    render,
    render_prompt,
    render_url,
    template_problems,
)

ROOTS = {"input": {"user": {"name": "Ann Lee", "age": 5}, "tags": ["a", None], "x": {}}}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ input.user.age }}", 5),
        ("{{input.tags}}", ["a", None]),
        ("{{ input.tags.1 }}", None),
        ("{{ input }}", ROOTS["input"]),
        ("{{ input.user.age }}{{ input.user.age }}", "55"),
        ("Hi {{ input.user.name }}!", "Hi Ann Lee!"),
        (" {{ input.user }}", ' {"name":"Ann Lee","age":5}'),
        ("{{ input.tags.1 }}.", "null."),
        ("plain { text }", "plain { text }"),
        ({"a": ["{{ input.tags.0 }}", 1, None]}, {"a": ["a", 1, None]}),
        ({"{{ input.x }}": 1}, {"{{ input.x }}": 1}),
    ],
)
def test_places_are_filled(template, value):
    assert render(template, ROOTS) == value


def test_filled_text_is_not_filled_again():
    assert render("{{ input }}.", {"input": "{{ input }}"}) == "{{ input }}."


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ input.usr.name }}", "`input` has no `usr`; did you mean `user`?"),
        ("{{ input.user.nmae }}", "`input.user` has no `nmae`; did you mean `name`?"),
        ("{{ input.tags.7 }}", "`input.tags` is a list of 2"),
        ("{{ input.tags.-1 }}", "`-1` is not in it"),
        ("{{ input.user.name.upper }}", "`input.user.name` is a text"),
        ("{{ input.tags.1.x }}", "`input.tags.1` is null"),
        ("{{ input.x.a }}", "it is empty"),
        ("{{ input.__class__ }}", "`input` has no `__class__`"),
        ("{{ inputs.user }}", "Did you mean `input`?"),
        ("{{ context.user }}", "must begin with `input`"),
        ("{{ input.user | upper }}", "is not a path"),
        ("{{ input['user'] }}", "is not a path"),
        ("{{ input.user() }}", "is not a path"),
        ("{{ }}", "is not a path"),
        ("{{ 1 + 1 }}", "is not a path"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_what_is_near(template, message):
    for text in (template, f"text {template}"):
        with pytest.raises(RunnerError) as caught:
            render(text, ROOTS)

        assert message in caught.value.message
        assert (caught.value.type, caught.value.retryable) == ("template_error", False)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("a b", "https://x.test/users/a%20b/end"),
        ("../admin", "https://x.test/users/..%2Fadmin/end"),
        ("a?b=c#d&e", "https://x.test/users/a%3Fb%3Dc%23d%26e/end"),
        ("x@evil.test", "https://x.test/users/x%40evil.test/end"),
        (5, "https://x.test/users/5/end"),
    ],
)
def test_what_stands_inside_a_url_cannot_change_its_shape(given, url):
    assert render_url("https://x.test/users/{{ input }}/end", {"input": given}) == url


def test_a_place_at_the_beginning_of_a_url_is_a_whole_address():
    roots = {"input": {"base": "https://x.test/a", "id": "b/c"}}

    assert render_url("{{ input.base }}", roots) == "https://x.test/a"
    assert render_url("{{ input.base }}/{{ input.id }}", roots) == (
        "https://x.test/a/b%2Fc"
    )


@pytest.mark.parametrize("given", [None, "..", ".", {}, ["a"]])
def test_values_unfit_for_a_url_are_refused(given):
    with pytest.raises(RunnerError, match="unfit for a URL"):
        render_url("https://x.test/{{ input }}/", {"input": given})


def test_a_prompt_keeps_braces_that_are_not_meant_for_it():
    prompt = 'Answer {{name}} as {"a": {"b": 1}}: {{ input.user.name }}'

    assert render_prompt(prompt, ROOTS) == (
        'Answer {{name}} as {"a": {"b": 1}}: Ann Lee'
    )


def test_a_prompt_with_a_missing_path_fails():
    with pytest.raises(RunnerError, match="leads nowhere"):
        render_prompt("{{ input.missing }}", ROOTS)


def test_templates_can_be_checked_without_an_input():
    config = {"a": ["{{ input.x }}", "{{ context.x }}"], "b/c": "{{ inptu.x }}", "d": 1}

    assert [place for place, _ in template_problems(config, "/config")] == [
        "/config/a/1",
        "/config/b~1c",
    ]
    assert not list(prompt_problems("{{ name }} {{ input.x }}", "/base_prompt"))
    assert list(prompt_problems("{{ output.x }}", "/base_prompt"))


def test_a_rendered_text_has_a_largest_size():
    with pytest.raises(RunnerError, match="longer than"):
        render("{{ input }}" * 100 + ".", {"input": "x" * 100_000})
