"""Lost updates: `ETag` on what is read, `If-Match` on what is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from roles.rest.problems import ApiProblem


class StaleObject(ApiProblem):
    """Somebody changed the object since it was read."""

    status_code = 412
    default_code = "precondition_failed"
    default_detail = (
        "The object changed since you read it; read it again and repeat your change."
    )


def etag_of(*facts: object) -> str:
    """Name a state by the facts that change with it."""
    text = "\n".join(map(str, facts))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:20]}"'


def require_match(headers: Mapping[str, str], etag: str) -> None:
    """
    Raise StaleObject unless `If-Match` is absent, `*` or names this state.

    The caller holds the row's lock, so that nobody changes it after the check. A
    proxy that compresses may have weakened the tag; that is no other state.
    """
    wanted = headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    tags = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    if etag not in tags:
        raise StaleObject(headers={"ETag": etag})
