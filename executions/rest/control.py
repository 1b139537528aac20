"""One execution, steered: asked to end, ended, held, let go on, tried again, copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from executions import attention, control, copies
from executions.control import Refused
from executions.copies import UNCHANGED
from executions.models import Execution
from executions.rest.accepted import accepted, key_of, makes_execution
from executions.rest.serializers import (
    ExecutionSerializer,
    ForkSerializer,
    ReasonSerializer,
    RerunSerializer,
    SettleSerializer,
)
from roles.problems import InvalidDocument, Problem, did_you_mean, listing, quoted
from roles.rest.bodies import fields_of
from roles.rest.problems import answer_with
from roles.rest.resources import Resource

COPY_FIELDS: Mapping[str, type] = {"input": dict, "version": int}
SETTLE_FIELDS: Mapping[str, type] = {
    "path": str,
    "action": str,
    "output": object,
    "reason": str,
}
SETTLE_ACTIONS: tuple[str, ...] = get_args(attention.Action)


def _code(refused: Refused) -> dict[str, str]:
    return {"code": refused.code}


answer_with(Refused, status=409, code="refused", more=_code)


def _verb(summary: str, description: str = "") -> Callable[..., Any]:
    """Describe a view that applies one of the control verbs."""

    def described(view: Callable[..., Any]) -> Any:
        schema = extend_schema(
            summary=summary,
            description="Repeating it changes nothing; a state that does not allow it "
            f"is answered with 409 and a `code` that names it. {description}".strip(),
            request=ReasonSerializer,
            responses=ExecutionSerializer,
        )
        return schema(action(detail=True, methods=["post"], filterset_class=None)(view))

    return described


class ControlActions(Resource):
    """The verbs, each a POST to its own address below the execution's."""

    @_verb(
        "Cancel an execution",
        "Nothing new starts, and what runs is asked to stop and gets some seconds; "
        "until then the execution is not `cancelled` yet.",
    )
    def cancel(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._control(request, control.cancel)

    @_verb("End an execution at once, whatever runs")
    def terminate(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._control(request, control.terminate)

    @_verb(
        "Pause an execution", "Nothing new starts; attempts that run come to their end."
    )
    def pause(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._control(request, control.pause)

    @_verb("Let a paused execution go on")
    def resume(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._control(request, control.resume)

    @_verb(
        "Try again what failed",
        "An execution that failed, timed out or was cancelled goes on from there; "
        "the steps that had completed are kept.",
    )
    def retry(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._control(request, control.retry)

    @_verb(
        "Undo what was done",
        "Finished steps that have `compensate` are undone, the last one first, each "
        "once; an execution that is under way is ended first.",
    )
    def rollback(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._control(request, control.rollback)

    @extend_schema(
        summary="Settle a step that needs attention",
        description="`complete` records the given output, `fail` the given reason, "
        "and `run_again` has the step attempted once more.",
        request=SettleSerializer,
        responses=ExecutionSerializer,
    )
    @action(detail=True, methods=["post"], filterset_class=None)
    def settle(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        execution = self.steered()
        given = _settlement(request.data)
        attention.settle_step(
            execution.pk,
            given["path"],
            by=self.caller.get_username(),
            action=given["action"],
            output=given.get("output"),
            reason=given.get("reason"),
        )
        return self._as_it_is()

    @makes_execution("Start a copy from one of its steps on", ForkSerializer)
    @action(detail=True, methods=["post"], filterset_class=None)
    def fork(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        execution = self.steered()
        types = {"from_step": str, **COPY_FIELDS}
        given = fields_of(request.data, types, required=["from_step"])
        copy = copies.fork(
            execution,
            from_step=given["from_step"],
            by=self.caller,
            input=given.get("input", UNCHANGED),
            version=given.get("version"),
            idempotency_key=key_of(request),
        )
        return accepted(request, copy)

    @makes_execution("Start it anew, with its input or another one", RerunSerializer)
    @action(detail=True, methods=["post"], filterset_class=None)
    def rerun(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        execution = self.steered()
        given = fields_of(request.data, COPY_FIELDS)
        copy = copies.rerun(
            execution,
            by=self.caller,
            input=given.get("input", UNCHANGED),
            version=given.get("version"),
            idempotency_key=key_of(request),
        )
        return accepted(request, copy)

    def steered(self) -> Execution:
        """Return the execution if the caller may steer it, or raise."""
        execution: Execution = self.get_object()
        mine = self.get_queryset().editable_by(self.caller)
        if not mine.filter(pk=execution.pk).exists():
            raise PermissionDenied
        return execution

    def _control(self, request: Request, verb: Callable[..., bool]) -> Response:
        execution = self.steered()
        reason = fields_of(request.data, {"reason": str}).get("reason")
        verb(execution.pk, by=self.caller.get_username(), reason=reason)
        return self._as_it_is()

    def _as_it_is(self) -> Response:
        return Response(ExecutionSerializer(self.get_object()).data)


def _settlement(body: Any) -> dict[str, Any]:
    given = fields_of(body, SETTLE_FIELDS, required=["path", "action"])
    wanted = given["action"]
    if wanted not in SETTLE_ACTIONS:
        detail = f"{quoted(wanted)} is none of {listing(SETTLE_ACTIONS)}."
        detail += did_you_mean(wanted, SETTLE_ACTIONS)
        raise InvalidDocument([Problem("/action", "unknown_value", detail)])
    if wanted != "complete" and "output" in given:
        detail = "Only a step that is completed gets an output."
        raise InvalidDocument([Problem("/output", "not_allowed", detail)])
    return given
