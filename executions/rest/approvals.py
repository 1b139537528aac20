"""The API of approvals: what the caller is asked, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import (
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from executions import approvals, links
from executions.approvals import DECIDED, OPEN, AlreadyDecided, Decision, NotAsked
from executions.models import Approval
from roles.problems import InvalidDocument, Problem
from roles.rest.bodies import fields_of
from roles.rest.filters import WordsFilter
from roles.rest.problems import answer_with
from roles.rest.resources import Resource

STATES = {"open": OPEN, "decided": DECIDED}


_MOMENT = serializers.DateTimeField()


def _decided(error: AlreadyDecided) -> Mapping[str, Any]:
    return {
        "decision": error.decision,
        "decided_by": error.decided_by,
        "decided_at": _MOMENT.to_representation(error.decided_at),
    }


answer_with(AlreadyDecided, status=409, code="already_decided", more=_decided)
answer_with(NotAsked, status=403, code="not_asked")


class ApprovalSummarySerializer(serializers.Serializer[Approval]):
    """A question as lists show it, without its form and what was filled in."""

    id = serializers.UUIDField()
    execution_id = serializers.UUIDField()
    path = serializers.CharField(help_text="Of the step that asks.")
    prompt = serializers.CharField()
    status = serializers.SerializerMethodField(
        help_text="`withdrawn`: its step does not wait any more."
    )
    users = serializers.ListField(child=serializers.CharField())
    groups = serializers.ListField(child=serializers.CharField())
    permission = serializers.CharField(
        help_text="Several are divided by spaces; `steer` means those who may steer "
        "the execution, as it is if nobody is named."
    )
    asked_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    decided_by = serializers.SerializerMethodField(help_text="The username.")
    channel = serializers.CharField(help_text="`api`, `admin`, `link` or `clock`.")
    comment = serializers.CharField()

    @extend_schema_field(serializers.ChoiceField(choices=approvals.STATUSES))
    def get_status(self, approval: Approval) -> str:
        return approvals.status_of(approval)

    def get_decided_by(self, approval: Approval) -> str | None:
        by = approval.decided_by
        return by.get_username() if by else None


class ApprovalSerializer(ApprovalSummarySerializer):
    """A question with everything that is known of it."""

    form = serializers.JSONField(
        allow_null=True, help_text="The JSON Schema that an answer has to fit."
    )
    answer = serializers.JSONField(allow_null=True)


class ApproveSerializer(serializers.Serializer[Any]):
    """An approval; with a form it takes an answer."""

    answer = serializers.JSONField(
        required=False, allow_null=True, help_text="What the form asks for."
    )
    comment = serializers.CharField(required=False, max_length=1000)


class RejectSerializer(serializers.Serializer[Any]):
    """A rejection."""

    comment = serializers.CharField(required=False, max_length=1000)


class LinkRequestSerializer(serializers.Serializer[Any]):
    """How long the link is good; a week unless it is said."""

    expires_in_ms = serializers.IntegerField(
        required=False, min_value=1, max_value=links.LONGEST_MS
    )


class LinkSerializer(serializers.Serializer[Any]):
    """An address at which somebody answers once, without an account."""

    url = serializers.CharField()
    expires_at = serializers.DateTimeField()


class ApprovalFilter(filters.FilterSet):
    status = WordsFilter(
        method="of_state",
        known=tuple(STATES),
        help_text="Either or both: repeat the parameter or use commas.",
    )
    execution = filters.UUIDFilter(field_name="execution_id")

    class Meta:
        model = Approval
        fields = ()

    def of_state(
        self, rows: QuerySet[Approval], name: str, value: list[str]
    ) -> QuerySet[Approval]:
        return (
            rows.filter(reduce(or_, (STATES[word] for word in value)))
            if value
            else rows
        )


def _answers(
    summary: str, body: type[serializers.Serializer[Any]]
) -> Callable[[Callable[..., Any]], Any]:
    """Describe a view that takes an answer."""

    def described(view: Callable[..., Any]) -> Any:
        schema = extend_schema(
            summary=summary,
            description="Exactly one answer counts. Who comes later is answered with "
            "409 and `already_decided`, and hears what was decided; or with "
            "`no_longer_asked`, when the step does not wait any more.",
            request=body,
            responses=ApprovalSerializer,
        )
        return schema(action(detail=True, methods=["post"], filterset_class=None)(view))

    return described


@extend_schema(tags=["approvals"])
@extend_schema_view(
    list=extend_schema(
        summary="List what the caller is asked or has answered, newest first"
    )
)
class ApprovalViewSet(ListModelMixin, Resource):
    """Questions that steps ask of people; those asked of others are not there."""

    queryset = Approval.objects.all()
    serializer_class = ApprovalSummarySerializer
    filterset_class = ApprovalFilter

    def get_queryset(self) -> Any:
        rows = approvals.visible_to(self.caller).select_related("decided_by")
        if self.detail:
            return rows
        return rows.filter(DECIDED | OPEN).defer("form", "answer")

    @extend_schema(summary="Read a question", responses=ApprovalSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(ApprovalSerializer(self.get_object()).data)

    @_answers("Approve", ApproveSerializer)
    def approve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        types: dict[str, type] = {"answer": object, "comment": str}
        return self._answer(request, types, "approved")

    @_answers("Reject", RejectSerializer)
    def reject(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._answer(request, {"comment": str}, "rejected")

    @extend_schema(
        summary="Make a link with which somebody answers without an account",
        description="It is good for one answer, while the question is open and the "
        "caller may answer it.",
        request=LinkRequestSerializer,
        responses=LinkSerializer,
    )
    @action(detail=True, methods=["post"], filterset_class=None)
    def link(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked: UUID = self.get_object().pk
        given = fields_of(request.data, {"expires_in_ms": int})
        _check_time(given.get("expires_in_ms", 1))
        made = links.make(asked, by=self.caller, **given)
        return Response(LinkSerializer(made).data)

    def _answer(
        self, request: Request, types: Mapping[str, type], decision: Decision
    ) -> Response:
        asked: UUID = self.get_object().pk
        given = fields_of(request.data, types)
        approvals.answer(
            asked, by=self.caller, decision=decision, channel="api", **given
        )
        return Response(ApprovalSerializer(self.get_object()).data)


def _check_time(expires_in_ms: int) -> None:
    if not 1 <= expires_in_ms <= links.LONGEST_MS:
        detail = f"A link is good for 1 to {links.LONGEST_MS:,} ms (a year)."
        raise InvalidDocument([Problem("/expires_in_ms", "out_of_range", detail)])
