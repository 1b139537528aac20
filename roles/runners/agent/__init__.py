"""
Ask a language model as a step, with the tools that the role was granted.

`runner` is the contract's side; all else stands behind it: which model is asked when
(`governed`), what it may call (`toolset`, `code`) and where it goes on (`memory`).
"""

from __future__ import annotations

from roles.runners.agent.alone import DEFAULT_MODEL, configure, model_of
from roles.runners.agent.runner import AgentRunner, preload

__all__ = ["DEFAULT_MODEL", "AgentRunner", "configure", "model_of", "preload"]
