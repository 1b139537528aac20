"""What an agent's step asks of the engine, answered for one attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.conf import settings

from executions import announce, lifecycle
from executions.agents import recorder, scene
from executions.agents.scene import Scene
from executions.agents.tools import Toolbox
from executions.agents.treasury import Treasury
from executions.lifecycle import Claim
from executions.spending import budgets, exchanges
from executions.spending.exchanges import Entry
from roles import breakers
from roles.catalogue import selecting
from roles.runners import RoleSpec
from roles.runners.hosting import (
    CallUsage,
    Estimate,
    Memory,
    Needs,
    Offer,
    OfferedTool,
    Permit,
    Selection,
)
from roles.secrets.redaction import Redactor
from roles.toolkit.threads import in_thread

_NONE = Selection(offers=())


@dataclass(slots=True, kw_only=True)
class StepHost:
    """The host of one attempt; it reads what it needs when it is first asked for it."""

    claim: Claim
    role: RoleSpec
    redactor: Redactor
    _scene: Scene | None = None
    _memory: Memory = field(default_factory=Memory)
    _selection: Selection = _NONE
    _toolbox: Toolbox | None = None

    async def recall(self) -> Memory:
        """Read what earlier attempts left, if there were any."""
        if self.claim.attempt > 1:
            self._memory = await in_thread(_recall, self.claim)
        return self._memory

    async def select(self, needs: Needs) -> Selection:
        """Choose models by the role's constraints."""
        role, default = self.role, settings.CORE_MODEL
        selection = selecting.remembered(role, needs, default)
        if selection is None:
            selection = await in_thread(selecting.select, role, needs, default)
        self._selection = selection
        for offer in selection.offers:
            if offer.credential:
                self.redactor.join(_hiding(offer.credential_name, offer.credential))
        return selection

    async def toolbox(self) -> Sequence[OfferedTool]:
        """Open the tools that the role was granted."""
        return (await self._tools()).offered

    async def begin_call(self, offer: Offer, estimate: Estimate) -> Permit:
        """Let a model be asked unless its breaker is open or no money is left."""
        treasury = await self._treasury()
        if (permit := treasury.begin_at_once(offer)) is not None:
            return permit
        return await in_thread(treasury.begin, offer, estimate)

    async def end_call(
        self, permit: Permit, usage: CallUsage, messages: Sequence[Any]
    ) -> None:
        """Record an answer and what it cost; a model that was unwell is well again."""
        treasury = await self._treasury()
        kept = [self.redactor.value(message) for message in messages]
        await recorder.keep(treasury.paid(permit, usage, kept))
        if permit.is_probe:
            await in_thread(breakers.close, permit.offer.key)

    async def fail_call(
        self, permit: Permit, detail: str, *, busy: bool, retry_after_s: float | None
    ) -> None:
        """Give the money back and, if the provider asks for it, leave it alone."""
        if not (busy or permit.reserved or permit.is_probe):
            return
        treasury, reason = await self._treasury(), self.redactor.text(detail)
        await in_thread(
            treasury.fail, permit, reason, busy=busy, retry_after_s=retry_after_s
        )

    async def call_tool(self, name: str, call_id: str, arguments: Any) -> Any:
        """Call a tool that the role was granted, once for each call's id."""
        return await (await self._tools()).call(name, call_id, arguments)

    async def keep(self, kind: str, call_id: str, data: Mapping[str, Any]) -> None:
        """Put something on record beside the messages."""
        run = self.claim.run
        entry = Entry(
            execution_id=run.execution_id,
            step_run_id=run.id,
            path=run.path,
            attempt=self.claim.attempt,
            kind=kind,
            call_id=call_id,
            data=self.redactor.value(dict(data)),
        )
        await recorder.keep(entry)

    def say(self, text: str) -> None:
        """Let viewers read along."""
        run = self.claim.run
        text = self.redactor.text(text)
        announce.say(run.execution_id, run.path, self.claim.attempt, text)

    async def _where(self) -> Scene:
        if self._scene is None:
            self._scene = await scene.of(self.claim.run.execution_id)
        return self._scene

    async def _treasury(self) -> Treasury:
        return Treasury(
            claim=self.claim,
            role=self.role,
            scene=await self._where(),
            selection=self._selection,
        )

    async def _tools(self) -> Toolbox:
        if self._toolbox is None:
            self._toolbox = await Toolbox.open(
                self.claim,
                self.role,
                await self._where(),
                memory=self._memory,
                redactor=self.redactor,
            )
        return self._toolbox


@lru_cache(maxsize=100)
def _hiding(name: str, credential: str) -> Redactor:
    return Redactor({name: credential})


def _recall(claim: Claim) -> Memory:
    """Read the record; what an attempt that was lost had reserved is spent."""
    run = claim.run
    budgets.lost(run.id, claim.fence)
    messages, results = exchanges.remembered(run.id)
    state = lifecycle.recall(run) or {}
    return Memory(
        messages=messages, results=results, decisions=state.get("decisions", {})
    )
