"""
From an offer, or a name such as `openai:gpt-5`, to a model that can be asked.

A model belongs to one event loop, as its connections do. Its library takes seconds
to import: that happens at the first use, in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from roles.runners.base import RunnerError
from roles.runners.hosting import Offer
from roles.runners.model_names import DEMO, name_fault

if TYPE_CHECKING:
    from pydantic_ai.models import Model

NOT_CONFIGURED = "model_not_configured"
NO_KEY = "none"
# For each request a client looks at all of its connections: several clients that have
# some of them each take less time for hundreds of requests at once.
CLIENTS = 8

_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")
# The language of an API, where the provider's name alone would mean another one.
_LANGUAGES = {"openai": "openai-chat", "openai-responses": "openai-responses"}

Key = tuple[str, str, str, str]

_MODELS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, deque[Model]]] = (
    WeakKeyDictionary()
)
_BUILDING: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
    WeakKeyDictionary()
)


async def get(offer: Offer) -> Model:
    """
    Return one of the running loop's models of this offer: they take turns.

    Raises RunnerError, type `model_not_configured`, for an unknown provider and
    for a missing key, naming the environment variable to set.
    """
    loop, key = asyncio.get_running_loop(), _key(offer)
    if key not in _MODELS.get(loop, {}):
        # Hundreds of steps may come at once to a new model, and each would make some.
        async with _BUILDING.setdefault(loop, asyncio.Lock()):
            if key not in _MODELS.get(loop, {}):
                made = await asyncio.to_thread(_build_all, offer)
                for closed in [each for each in _MODELS if each.is_closed()]:
                    del _MODELS[closed]
                _MODELS.setdefault(loop, {})[key] = made
    models = _MODELS[loop][key]
    models.rotate()
    return models[0]


async def close() -> None:
    """Close the connections of the running event loop's models."""
    for models in _MODELS.pop(asyncio.get_running_loop(), {}).values():
        for model in models:
            async with model:  # leaving closes what the model opened by itself
                pass


def _key(offer: Offer) -> Key:
    """Tell models apart, without keeping a credential longer than its model does."""
    digest = hashlib.sha256(offer.credential.encode()).hexdigest()
    return offer.name, offer.api, offer.base_url, digest if offer.credential else ""


def _build_all(offer: Offer) -> deque[Model]:
    count = 1 if offer.provider == DEMO else CLIENTS
    return deque(_build(offer) for _ in range(count))


def _build(offer: Offer) -> Model:
    if fault := name_fault(offer.name):
        raise _not_configured(fault)
    from pydantic_ai import models
    from pydantic_ai.exceptions import UserError

    if offer.provider == DEMO:
        from roles.runners.agent.demo import demo_model

        return demo_model(offer.model)
    try:
        if offer.base_url or offer.credential:
            return _own(offer)
        return models.infer_model(_known_as(offer))
    except (UserError, ImportError) as problem:
        raise _not_configured(_reason(offer.name, str(problem))) from problem


def _known_as(offer: Offer) -> str:
    if offer.provider in _LANGUAGES and offer.api in _LANGUAGES:
        return f"{_LANGUAGES[offer.api]}:{offer.model}"
    return offer.name


def _own(offer: Offer) -> Model:
    """
    Make a model with an address, or a credential, of its own.

    A key from the environment is never sent to an address of the catalogue's.
    """
    url = offer.base_url or None
    key = offer.credential or (NO_KEY if url else None)
    match offer.api:
        case "openai" | "openai-responses":
            from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
            from pydantic_ai.providers.openai import OpenAIProvider

            openai = OpenAIProvider(base_url=url, api_key=key)
            if offer.api == "openai":
                return OpenAIChatModel(offer.model, provider=openai)
            return OpenAIResponsesModel(offer.model, provider=openai)
        case "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            anthropic = AnthropicProvider(base_url=url, api_key=key)
            return AnthropicModel(offer.model, provider=anthropic)
        case "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            google = GoogleProvider(base_url=url, api_key=key)
            return GoogleModel(offer.model, provider=google)
    raise _not_configured(
        f"The model {offer.name} has an address or a credential of its own, so that "
        "its `api` must be `openai`, `openai-responses`, `anthropic` or `google`, "
        f"not {offer.api!r}."
    )


def _reason(name: str, problem: str) -> str:
    variable = _VARIABLE.search(problem)
    if variable:
        return f"The model {name} needs the environment variable {variable.group(1)}."
    if problem.startswith("Please install"):
        return f"The provider of {name} is not part of this installation."
    return f"The model {name} cannot be used: {problem}"


def _not_configured(message: str) -> RunnerError:
    return RunnerError(message, type=NOT_CONFIGURED, retryable=False)
