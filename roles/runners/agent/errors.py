"""Classify the ways in which asking a model can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roles.runners.base import RunnerError

if TYPE_CHECKING:
    from pydantic_ai.exceptions import AgentRunError

MAX_RETRY_AFTER_S = 24 * 3600.0
MAX_MESSAGE_LENGTH = 500

# The first class in a failure's ancestry that stands here decides: its type, and
# whether another attempt could help.
_CLASSES: dict[str, tuple[str, bool]] = {
    "ModelQuotaExceededError": ("model_quota_exceeded", False),
    "ModelRateLimitError": ("model_rate_limited", True),
    "ModelUnavailableError": ("model_unavailable", True),
    "ModelServerError": ("model_unavailable", True),
    "ModelTimeoutError": ("model_timeout", True),
    "ModelRequestTimeout": ("model_timeout", True),
    "ModelConnectionError": ("model_connection", True),
    "ModelContextWindowExceededError": ("context_too_long", False),
    "ModelAuthenticationError": ("model_unauthorized", False),
    "ModelNotFoundError": ("model_unknown", False),
    "ModelRequestRejectedError": ("model_request_rejected", False),
    "ContentFilterError": ("content_filtered", False),
    "UsageLimitExceeded": ("usage_limit", False),
}
_WORTH_ANOTHER_TRY = {408, 409, 425, 429}


def classified(failure: AgentRunError) -> RunnerError:
    """Return the failure as the engine's error, with the pause that was asked for."""
    type_, retryable = _classify(failure)
    pause = getattr(failure, "retry_after", None) if retryable else None
    return RunnerError(
        _message(failure, type_),
        type=type_,
        retryable=retryable,
        retry_after_s=None if pause is None else min(max(pause, 0), MAX_RETRY_AFTER_S),
    )


def _classify(failure: AgentRunError) -> tuple[str, bool]:
    if _misfit(failure) is not None:
        return "output_schema_mismatch", True  # another answer may fit
    for ancestor in type(failure).__mro__:
        if ancestor.__name__ in _CLASSES:
            return _CLASSES[ancestor.__name__]
    status = getattr(failure, "status_code", None)
    if status is not None:
        return "model_failed", status >= 500 or status in _WORTH_ANOTHER_TRY
    return "bad_model_answer", True


def _message(failure: AgentRunError, type_: str) -> str:
    text = _misfit(failure) or said(failure)
    if len(text) > MAX_MESSAGE_LENGTH:
        text = f"{text[:MAX_MESSAGE_LENGTH]}…"
    if type_ == "output_schema_mismatch":
        return text
    began = (
        "The agent came to a limit" if type_ == "usage_limit" else "The model failed"
    )
    return f"{began}: {text}"


def said(failure: AgentRunError) -> str:
    """Say in one line what a provider answered, or what went wrong on the way."""
    status, model = (getattr(failure, n, None) for n in ("status_code", "model_name"))
    if status is None:
        return failure.message
    body: Any = getattr(failure, "body", None)
    for key in ("error", "message"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    reason = f": {body}" if isinstance(body, str) and body else ""
    return f"{model or 'The provider'} answered with HTTP {status}{reason}"


def _misfit(failure: AgentRunError) -> str | None:
    """Return what was wrong with an answer that did not fit, even after its repair."""
    from pydantic_ai import ModelRetry

    cause = failure.__cause__
    return cause.message if isinstance(cause, ModelRetry) else None
