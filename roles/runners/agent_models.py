"""
From a name such as `openai:gpt-5` to a model that can be asked.

A model belongs to one event loop, as its connections do. Its library takes seconds
to import: that happens at the first use, in a thread, or earlier by `preload`.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from roles.runners.base import RunnerError

if TYPE_CHECKING:
    from pydantic_ai.models import Model

DEMO = "demo"
DEMO_FLAVOURS = ("echo", "writer")

_NAME = re.compile(r"[a-z0-9][\w./-]*:\S+")
_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")
_MODELS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Model]] = (
    WeakKeyDictionary()
)


def name_fault(name: str) -> str | None:
    """Say what is wrong with a model's name, or return None."""
    if not _NAME.fullmatch(name):
        return f"Name the model as `provider:name`, not {name!r}."
    provider, _, flavour = name.partition(":")
    if provider == DEMO and flavour not in DEMO_FLAVOURS:
        known = " and ".join(f"`{DEMO}:{each}`" for each in DEMO_FLAVOURS)
        return f"There is no demo model {flavour!r}; there are {known}."
    return None


def preload() -> None:
    """Import the library, without making a model: before a worker forks, say."""
    import pydantic_ai  # noqa: F401


async def get(name: str) -> Model:
    """
    Return the running loop's model of this name.

    Raises RunnerError, type `model_not_configured`, for an unknown provider and
    for a missing key, naming the environment variable to set.
    """
    loop = asyncio.get_running_loop()
    model = _MODELS.get(loop, {}).get(name)
    if model is None:
        built = await asyncio.to_thread(_build, name)
        for closed in [each for each in _MODELS if each.is_closed()]:
            del _MODELS[closed]
        model = _MODELS.setdefault(loop, {}).setdefault(name, built)
    return model


async def close() -> None:
    """Close the connections of the running event loop's models."""
    for model in _MODELS.pop(asyncio.get_running_loop(), {}).values():
        async with model:  # leaving closes what the model opened by itself
            pass


def _build(name: str) -> Model:
    if fault := name_fault(name):
        raise _not_configured(fault)
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model

    provider, _, flavour = name.partition(":")
    if provider == DEMO:
        from roles.runners.demo_model import demo_model

        return demo_model(flavour)
    try:
        return infer_model(name)
    except (UserError, ImportError) as problem:
        raise _not_configured(_reason(name, str(problem))) from problem


def _reason(name: str, problem: str) -> str:
    variable = _VARIABLE.search(problem)
    if variable:
        return f"The model {name} needs the environment variable {variable.group(1)}."
    if problem.startswith("Please install"):
        return f"The provider of {name} is not part of this installation."
    return f"The model {name} cannot be used: {problem}"


def _not_configured(message: str) -> RunnerError:
    return RunnerError(message, type="model_not_configured", retryable=False)
