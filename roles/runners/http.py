"""
Call an HTTP endpoint as a step.

The role's `config` is {"method", "url", "headers", "query", "body"}, filled from
the step's input, and if need be {"accept_status", "follow_redirects",
"max_response_bytes", "timeout_ms"}. The output is {status, headers, body}.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from roles.runners.addresses import AllowedHosts, parse_allowed
from roles.runners.base import Attempt, Pool, Result, RoleSpec, Runner
from roles.runners.http_client import exchange
from roles.runners.http_problems import problems_of
from roles.runners.http_request import bad_request, build
from roles.runners.http_response import check_status, output_of
from roles.runners.results import to_json

MAX_RESPONSE_BYTES = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the operator decides for all HTTP roles."""

    allowed: AllowedHosts = AllowedHosts()  # noqa: RUF009  (frozen)
    max_response_bytes: int = MAX_RESPONSE_BYTES


_configuration = Configuration()


def configure(
    *,
    allowed_hosts: str | Iterable[str] = (),
    max_response_bytes: int = MAX_RESPONSE_BYTES,
) -> None:
    """
    Set which hosts may be private (`host[:port]`) and how large answers may be.

    Raises ValueError for an entry that is not a host.
    """
    global _configuration
    _configuration = Configuration(
        allowed=parse_allowed(allowed_hosts), max_response_bytes=max_response_bytes
    )


class HttpRunner(Runner):
    """Sends the request that the role describes."""

    async def run(
        self,
        role: RoleSpec,
        input: Any,  # noqa: A002  (the contract's own word)
        attempt: Attempt,
    ) -> Result:
        """
        Send the request once, redirects included, before the deadline.

        Every attempt carries the same `Idempotency-Key`.
        """
        config = role.config
        for place, problem in self.problems(role):
            raise bad_request(f"{place}: {problem}")
        request = build(
            config, {"input": input}, idempotency_key=attempt.idempotency_key
        )
        follow = config.get("follow_redirects", True)
        answer = await exchange(
            request,
            allowed=_configuration.allowed,
            max_bytes=_max_bytes(config.get("max_response_bytes")),
            follow_redirects=follow,
            timeout_s=_timeout_s(config.get("timeout_ms"), attempt.deadline),
        )
        accepted = {
            *config.get("accept_status", ()),
            *(() if follow else range(300, 400)),
        }
        check_status(
            answer, host=request.url.host, accepted=accepted, now=datetime.now(UTC)
        )
        return Result(output=to_json(output_of(answer)))

    def pool(self, role: RoleSpec) -> Pool:
        return "io"

    def problems(self, role: RoleSpec) -> list[tuple[str, str]]:
        return problems_of(role.config)


def _max_bytes(wanted: int | None) -> int:
    limit = _configuration.max_response_bytes
    return limit if wanted is None else min(wanted, limit)


def _timeout_s(timeout_ms: float | None, deadline: datetime) -> float:
    left = max(0.0, (deadline - datetime.now(UTC)).total_seconds())
    return left if timeout_ms is None else min(left, timeout_ms / 1000)
