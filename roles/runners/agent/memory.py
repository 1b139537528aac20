"""
Where a retried or resumed agent goes on: after the last answer that called tools.

What was paid for is not asked for again: its tool calls are answered from memory, and
only what came of them is asked anew. Messages are added to the record and never
removed, so that the record of several attempts holds more than one course of events.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    UserPromptPart,
)

OUTPUT_TOOL = "final_result"


def restored(recorded: Sequence[Any]) -> list[ModelMessage]:
    """Read recorded messages; those of a library too different count as none."""
    if not recorded:
        return []
    try:
        return ModelMessagesTypeAdapter.validate_json(json.dumps(list(recorded)))
    except ValidationError:
        return []


def point_of_return(recorded: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return the messages to go on from: they end with open tool calls, or are none."""
    course = _last_course(recorded)
    while course and not _is_resumable(course[-1]):
        course.pop()
    return course


def call_ids(messages: Sequence[ModelMessage]) -> set[str]:
    """Return the ids of all tool calls in the messages."""
    return {
        call.tool_call_id
        for message in messages
        if isinstance(message, ModelResponse)
        for call in message.tool_calls
    }


def _last_course(recorded: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Follow an attempt that went on from an earlier one: it answers the same calls."""
    course: list[ModelMessage] = []
    for message in recorded:
        if isinstance(message, ModelRequest):
            course = course[: _answered(message, course)]
        course.append(message)
    return course


def _answered(request: ModelRequest, course: Sequence[ModelMessage]) -> int:
    """Tell how many of the messages a request follows: up to the calls it answers."""
    if any(isinstance(part, UserPromptPart) for part in request.parts):
        return 0
    ids = {getattr(part, "tool_call_id", None) for part in request.parts} - {None}
    for place in range(len(course), 0, -1):
        if ids & call_ids([course[place - 1]]):
            return place
    return len(course)


def _is_resumable(message: ModelMessage) -> bool:
    # Arguments that were cut off stay cut off: such an answer is asked for again.
    if not isinstance(message, ModelResponse) or message.finish_reason == "length":
        return False
    return any(call.tool_name != OUTPUT_TOOL for call in message.tool_calls)
