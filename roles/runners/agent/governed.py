"""
A model that asks the host before each request, and puts each answer on record.

Offers are asked in their order: one that is busy leaves the request to the next, and
when all are, the step is parked. A permit is given back whatever happens, also when
the attempt is cancelled in the middle.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pydantic_ai.exceptions import (
    AgentRunError,
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelUnavailableError,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_core import from_json

from roles.runners.agent import models
from roles.runners.agent.course import Asked, Course, dumped, usage_of
from roles.runners.agent.errors import MAX_RETRY_AFTER_S, classified, said
from roles.runners.agent.shielding import surely
from roles.runners.base import RunnerError
from roles.runners.hosting import Busy, Offer, Parked, Permit, Refusal

PAUSE_S = 2.0  # where a provider wants to be left alone, and does not say how long
MAX_DETAIL = 500

_BUSY = (ModelRateLimitError, ModelQuotaExceededError, ModelUnavailableError)
_BUSY_STATUSES = {429, 503, 529}


class Governed(FallbackModel):
    """Whichever of the course's models answers; `first` stands for them meanwhile."""

    def __init__(self, course: Course, first: Model) -> None:
        super().__init__(first)
        self._course = course

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the offers in turn; raises Parked when none of them may be asked now."""
        settings = model_settings or ModelSettings()
        asked = self._course.asking(messages, settings.get("max_tokens"))
        busy: list[Busy] = []
        for offer in self._course.offers:
            try:
                await models.get(offer)  # what cannot be asked needs no permit
                response = await self._ask(
                    offer, asked, settings, model_request_parameters
                )
            except Busy as refusal:
                busy.append(refusal)
                continue
            except RunnerError as problem:
                if problem.type != models.NOT_CONFIGURED or not busy:
                    raise
                self._course.attempt.logger.warning(problem.message)
                continue
            await self._report_unknown(response, model_request_parameters)
            return response
        raise _parked(busy)

    async def _ask(
        self,
        offer: Offer,
        asked: Asked,
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask one model under a permit; raises Busy when another one is to be asked."""
        course = self._course
        permit = await self._permit(offer, asked)
        try:
            model = await models.get(permit.offer)
            response = course.taken(
                await self._sent(model, asked.messages, settings, parameters)
            )
            answer = dumped([response])
            record = [*from_json(asked.fresh), *from_json(answer)]
        except BaseException as failure:
            await self._give_back(permit, failure)
            if isinstance(failure, AgentRunError) and _is_busy(failure):
                pause = _pause(failure)
                raise Busy(
                    said(failure), after_s=PAUSE_S if pause is None else pause
                ) from failure
            raise
        usage = usage_of(response)
        _, cancelled = await surely(course.host.end_call(permit, usage, record))
        course.usage.add(usage)
        course.count_in(asked, answer, permit.offer)
        if cancelled:
            raise cancelled
        return response

    async def _permit(self, offer: Offer, asked: Asked) -> Permit:
        begun = self._course.host.begin_call(offer, asked.estimate(offer))
        permit, cancelled = await surely(begun)
        if cancelled:
            await self._give_back(permit, cancelled)
            raise cancelled
        return permit

    async def _give_back(self, permit: Permit, failure: BaseException) -> None:
        """Tell the host that a permit brought no answer; the failure goes on."""
        busy = isinstance(failure, AgentRunError) and _is_busy(failure)
        detail = str(failure) or type(failure).__name__
        if isinstance(failure, AgentRunError):
            detail = said(failure)
        _, cancelled = await surely(
            self._course.host.fail_call(
                permit,
                detail[:MAX_DETAIL],
                busy=busy,
                retry_after_s=_pause(failure) if busy else None,
            )
        )
        if cancelled:
            raise cancelled

    async def _sent(
        self,
        model: Model,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Send the request once; whoever waits for a provider, it is not its client."""
        limits = ModelSettings(max_retries=0, timeout=self._course.seconds_left)
        settings = merge_model_settings(settings, limits) or limits
        prepared = model.prepare_messages(messages, parameters)
        if not self._course.streams:
            return await model.request(prepared, settings, parameters)
        async with model.request_stream(prepared, settings, parameters) as stream:
            async for event in stream:
                if text := _text_of(event):
                    self._course.host.say(text)
            response = stream.get()
        if response.state == "incomplete":
            raise ModelConnectionError(
                model.model_name, "The answer broke off.", in_stream=True
            )
        return response

    async def _report_unknown(
        self, response: ModelResponse, parameters: ModelRequestParameters
    ) -> None:
        """Let the host refuse calls of tools that are not there: it keeps account."""
        offered = {each.name for each in parameters.function_tools}
        offered |= {each.name for each in parameters.output_tools}
        offered |= {each.model_name for each in self._course.tools}
        for call in response.tool_calls:
            if call.tool_name in offered:
                continue
            with suppress(Refusal):
                await self._course.host.call_tool(
                    call.tool_name, call.tool_call_id, call.args_as_dict()
                )


def _parked(busy: list[Busy]) -> Parked:
    soonest = min(busy, key=lambda each: each.after_s)
    parked = Parked(
        f"No model may be asked now: {soonest.detail}",
        kind="provider",
        after_s=soonest.after_s,
    )
    cause = soonest.__cause__
    parked.__cause__ = classified(cause) if isinstance(cause, AgentRunError) else None
    return parked


def _is_busy(failure: AgentRunError) -> bool:
    if isinstance(failure, _BUSY):
        return True
    return isinstance(failure, ModelHTTPError) and failure.status_code in _BUSY_STATUSES


def _pause(failure: BaseException) -> float | None:
    pause = getattr(failure, "retry_after", None)
    return None if pause is None else min(max(float(pause), 0.0), MAX_RETRY_AFTER_S)


def _text_of(event: Any) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""
