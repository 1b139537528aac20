"""Open the credentials of models, each only for the host that it is meant for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from roles.catalogue.candidates import Candidate
from roles.runners import RunnerError
from roles.runners.secret_text import SecretText, check_hosts
from roles.secrets.vault import UnknownSecret, UnreadableSecret, opened

# Where models without an address of their own are asked.
_HOSTS: Mapping[str, str] = {
    "openai": "https://api.openai.com",
    "openai-responses": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}


def credentials_of(models: Sequence[Candidate]) -> Mapping[str, str]:
    """
    Return the models' credentials by their names.

    Raises RunnerError for one that is gone, unreadable, or bound to another host.
    """
    named = [each for each in models if each.credential_name]
    if not named:
        return {}
    try:
        values = opened({each.credential_name for each in named})
    except UnknownSecret as missing:
        raise _failure(str(missing), "secret_unknown") from None
    except UnreadableSecret as sealed:
        raise _failure(str(sealed), "secret_unreadable") from None
    for each in named:
        _require_host(each, values[each.credential_name])
    return values


def _require_host(model: Candidate, secret: SecretText) -> None:
    address = model.base_url or _HOSTS.get(model.api, "")
    check_hosts([secret], httpx.URL(address))


def _failure(message: str, kind: str) -> RunnerError:
    return RunnerError(message, type=kind, retryable=False)
