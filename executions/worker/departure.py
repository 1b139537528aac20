"""Where executions, or frames, set out together: their first steps, claimed at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from executions import dispatch, lifecycle, pinned, situation
from executions.database import UNREACHABLE
from executions.lifecycle import Claim, NewRun
from executions.paths import step_path
from executions.plan import PlannedStep
from executions.signatures import Address
from executions.situation import Situation
from executions.worker import beginning
from executions.worker.abreast import Traveller
from executions.worker.leases import this_worker
from executions.worker.patience import insist, insist_and_tell
from executions.worker.prepare import prepare
from executions.worker.walk import Walk

log = logging.getLogger(__name__)

LONGEST_S = 0.5  # how long they may walk together


def set_out(
    addresses: Sequence[Address], key: str, *, pool: str = "cpu"
) -> list[Traveller]:
    """
    Claim the step with this key of each; who cannot begin it just so gets a message.

    They are the tops of executions of one version, or frames of one body. Raises
    OperationalError or InterfaceError, and has done nothing, when the database is away.
    """
    firsts = [_step_of(address, key) for address in addresses]
    setting_out: dict[UUID, tuple[Address, Situation, NewRun]] = {}
    for address, first, one in zip(
        addresses, firsts, _read(addresses, firsts), strict=True
    ):
        if one is None or not one.is_current(address.epoch):
            if one and one.cancelling:
                lifecycle.finish_cancel(UUID(address.execution))
        elif run := _plain_run(address, first, one):
            setting_out[run.id] = (address, one, run)
        else:
            _send(address, first, one)
    started = all(one.status == "running" for _, one, _ in setting_out.values())
    try:
        runs = [run for _, _, run in setting_out.values()]
        claims = claimed(runs, started=started)
    except UNREACHABLE:
        raise
    except Exception:
        log.exception("%d steps are begun singly.", len(setting_out))
        for address, one, _ in setting_out.values():
            _send(address, _step_of(address, key), one)
        return []
    return [
        traveller(*setting_out[claim.run.id][:2], claim, pool=pool) for claim in claims
    ]


def _step_of(address: Address, key: str) -> PlannedStep:
    return pinned.plan_of(address).by_path[step_path(address.frame, key)]


def _read(
    addresses: Sequence[Address], firsts: Sequence[PlannedStep]
) -> Sequence[Situation | None]:
    ids = [UUID(address.execution) for address in addresses]
    if addresses[0].frame:
        return situation.read_frames(ids[0], firsts)
    known = situation.read_each(ids, firsts[0].plan, firsts[0])
    return [known.get(execution_id) for execution_id in ids]


def _send(address: Address, first: PlannedStep, known: Situation) -> None:
    dispatch.send(first.plan, first.block.index, address, pins=known.role_pins)


def traveller(
    address: Address, known: Situation, claim: Claim, *, pool: str
) -> Traveller:
    """Let a walk begin with a step that is claimed."""
    known.status = "running"
    walk = Walk.of(address, path=claim.run.path, pool=pool)
    walk.warm_s, walk.in_company = LONGEST_S, True
    return Traveller(
        walk=walk, steps=walk.steps(claim, known), known=known, claim=claim
    )


def claimed(runs: Sequence[NewRun], *, started: bool) -> list[Claim]:
    """Claim what is to be had, also if the database's answer is lost."""
    if not runs:
        return []
    claims, repeated = insist_and_tell(
        lambda: lifecycle.claim_many(runs, started=started)
    )
    if not repeated:
        return claims
    # A reply was lost; what it told is on record, unless the lease was lost, too.
    mine = this_worker().identity() == runs[0].worker
    return insist(lambda: lifecycle.claims_of(runs)) if mine else []


def _plain_run(
    address: Address, planned: PlannedStep, known: Situation
) -> NewRun | None:
    """Make the step ready; None if it has a history, or is not to be run."""
    plan = planned.plan
    if planned.path in known.rows or beginning.standing(plan, planned, known):
        return None
    prepared = prepare(address, plan, planned, known)
    return None if prepared.skip or prepared.refusal else prepared.run
