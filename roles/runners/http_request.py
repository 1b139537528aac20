"""Turn an HTTP role's configuration and a step's input into one request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import httpx

from roles.runners.base import RunnerError
from roles.runners.rendering import Roots, as_text, render, render_url
from roles.runners.secret_text import (
    SecretText,
    check_hosts,
    not_for_host,
    secrets_in,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OWN_HEADERS = {  # set here or by the connection; a role cannot
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "idempotency-key",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}

_BODY_FROM_INPUT = {"POST", "PUT", "PATCH"}
_KEPT_ACROSS_ORIGINS = {
    "accept",
    "accept-language",
    "content-type",
    "idempotency-key",
    "user-agent",
}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(rb"[0-9A-Za-z._:-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, ready to be sent; a header that is a secret is a SecretText."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    body: bytes | None = None
    body_secrets: tuple[SecretText, ...] = ()  # that stand somewhere in the body

    def redirected(self, status: int, location: str) -> Request:
        """
        Return the request that follows a redirect.

        301 and 302 turn a POST, and 303 anything, into a GET without a body.
        Another origin gets none of the role's headers, which may hold secrets,
        except for those about the content. Raises RunnerError rather than hand a
        secret on to a host that it is not for.
        """
        url = checked_url(location, base=self.url)
        headers = self._headers_for(url)
        check_hosts(secrets_in(headers), url)
        becomes_get = status == 303 or (status in {301, 302} and self.method == "POST")
        if not becomes_get or self.method in {"GET", "HEAD"}:
            self._check_body(url)
            return replace(self, url=url, headers=headers)
        headers = {n: v for n, v in headers.items() if n.lower() != "content-type"}
        return Request(method="GET", url=url, headers=headers)

    def _headers_for(self, url: httpx.URL) -> dict[str, str]:
        if _same_owner(self.url, url):
            return dict(self.headers)
        return {
            name: value
            for name, value in self.headers.items()
            if name.lower() in _KEPT_ACROSS_ORIGINS
            and not isinstance(value, SecretText)
        }

    def _check_body(self, url: httpx.URL) -> None:
        """Let a body with secrets reach another origin only where they name it."""
        check_hosts(self.body_secrets, url)
        for secret in self.body_secrets:
            if not _same_owner(self.url, url) and not secret.names(url):
                raise not_for_host(secret, url)


def build(config: Mapping[str, Any], roots: Roots, *, idempotency_key: str) -> Request:
    """
    Render a role's configuration into a request.

    Raises RunnerError: `template_error` for a path that leads nowhere,
    `bad_request` for a rendered value that HTTP cannot carry, and
    `secret_not_for_host` for a secret that may not be sent there.
    """
    method = str(config.get("method") or "GET").upper()
    headers = _headers(render(config.get("headers") or {}, roots))
    body, content_type = _body(config, roots, method, headers)
    if content_type and "content-type" not in _lower(headers):
        headers["Content-Type"] = content_type
    if "accept" not in _lower(headers):
        headers["Accept"] = "application/json, */*;q=0.8"
    headers["Idempotency-Key"] = idempotency_key
    url = checked_url(render_url(config.get("url") or "", roots))
    check_hosts(secrets_in(config), url)
    return Request(
        method=method,
        url=_with_query(url, render(config.get("query") or {}, roots)),
        headers=headers,
        body=body,
        body_secrets=tuple(secrets_in(config.get("body"))),
    )


def checked_url(text: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """Parse a URL and refuse what is not plain http or https."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
    except (httpx.InvalidURL, ValueError) as problem:
        raise bad_request(f"The URL cannot be read: {problem}.") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise refused("Only http:// and https:// URLs with a host can be called.")
    if not _HOST.fullmatch(url.raw_host):
        raise bad_request(f"{url.host!r} is not a host name.")
    if url.userinfo:
        raise refused("A URL with a user name or password is not called; use headers.")
    return url


def bad_request(message: str) -> RunnerError:
    return RunnerError(message, type="bad_request", retryable=False)


def refused(message: str) -> RunnerError:
    return RunnerError(message, type="address_refused", retryable=False)


def header_fault(name: str, value: Any) -> str | None:
    """Say why a header cannot be sent, or return None."""
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is not a header name."
    if name.lower() in OWN_HEADERS:
        return f"The header {name} is set for every call and cannot be changed."
    if isinstance(value, str) and _CONTROL.search(value):
        return f"The header {name} must not hold line breaks or control characters."
    return None


def _headers(rendered: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        name: as_text(value).strip()
        for name, value in rendered.items()
        if value is not None
    }
    for name, value in headers.items():
        if fault := header_fault(name, value):
            raise bad_request(fault)
    return headers


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _body(
    config: Mapping[str, Any], roots: Roots, method: str, headers: Mapping[str, str]
) -> tuple[bytes | None, str]:
    if "body" in config:
        body = render(config["body"], roots)
    else:
        body = roots["input"] if method in _BODY_FROM_INPUT else None
    if body is None:
        return None, ""
    if isinstance(body, str) and "body" in config:
        return _encoded(body), "text/plain; charset=utf-8"
    kind = _lower(headers).get("content-type", "")
    if isinstance(body, dict) and kind.startswith("application/x-www-form-urlencoded"):
        return urlencode(_pairs(body)).encode(), ""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return _encoded(text), "application/json"


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise bad_request("The body holds half of a surrogate pair.") from None


def _with_query(url: httpx.URL, query: Any) -> httpx.URL:
    if not query:
        return url
    return url.copy_merge_params(httpx.QueryParams(tuple(_pairs(query))))


def _pairs(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the fields as text: lists repeat their name, null leaves it out."""
    return [
        (name, as_text(item))
        for name, value in fields.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]


def _same_owner(one: httpx.URL, other: httpx.URL) -> bool:
    """Tell whether two URLs share an origin, or differ by the step up to https."""
    if one.host != other.host:
        return False
    if (one.scheme, _port(one)) == (other.scheme, _port(other)):
        return True
    return (one.scheme, _port(one), other.scheme, _port(other)) == (
        "http",
        80,
        "https",
        443,
    )


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
