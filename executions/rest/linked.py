"""`/approve/<token>/`: the page that a signed link leads to, for people alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from executions import links
from executions.links import DeadLink, ForgedLink, Opened
from roles.admin.readable import ReadableJSONField, as_json
from roles.admin.refusals import show
from roles.problems import InvalidDocument

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_PAGE = "executions/approve.html"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_DECISIONS = (("approved", "Approve"), ("rejected", "Reject"))


class AnswerForm(forms.Form):
    """What both buttons send; an answer goes with an approval."""

    decision = forms.ChoiceField(choices=_DECISIONS)
    answer = ReadableJSONField(required=False)
    comment = forms.CharField(required=False, max_length=1000)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, token: str) -> HttpResponse:
    """Show the question, or take the answer; looking changes nothing."""
    try:
        opened = links.open_(token)
        if request.method == "POST":
            return _answered(request, opened)
    except ForgedLink:
        text = "This link was not made here, or not all of it has arrived."
        return _shown(request, {"title": "Not a link", "text": text}, 403)
    except DeadLink as dead:
        context = {"title": "No longer open", "text": str(dead)}
        return _shown(request, context, 410)
    return _asked(request, opened, AnswerForm(), 200)


def _answered(request: HttpRequest, opened: Opened) -> HttpResponse:
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return _asked(request, opened, form, 400)
    given = form.cleaned_data
    decision = given["decision"]
    answer = given["answer"] if decision == "approved" else None
    try:
        links.answer(opened, decision=decision, answer=answer, comment=given["comment"])
    except InvalidDocument as invalid:
        show(form, invalid.problems)
        return _asked(request, opened, form, 400)
    text = f"The answer is recorded: {decision}. You may close this page."
    return _shown(request, {"title": "Thank you", "text": text}, 200)


def _asked(
    request: HttpRequest, opened: Opened, form: AnswerForm, status: int
) -> HttpResponse:
    asked = opened.asked
    schema = None if asked.form is None else as_json(asked.form)
    context = {
        "title": "Your approval",
        "asked": asked,
        "schema": schema,
        "form": form,
        "faults": [fault for faults in form.errors.values() for fault in faults],
    }
    return _shown(request, context, status)


def _shown(request: HttpRequest, context: dict[str, Any], status: int) -> HttpResponse:
    response = render(request, _PAGE, context, status=status)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Robots-Tag"] = "noindex"
    return response
