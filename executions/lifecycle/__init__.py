"""
The only writer of status.

Every transition is one guarded statement that carries its event; whether its guard
held is an ordinary return value. All of them take the execution's row lock before
any step run's, so that they never wait for each other in a circle.
"""

from __future__ import annotations

from executions.lifecycle.batches import claim_many, claims_of, put_back, tell_begun
from executions.lifecycle.claims import Claim, NewRun, claim, claim_of, hold, skip
from executions.lifecycle.endings import (
    complete,
    fail,
    finish_cancel,
    terminate,
    time_out,
)
from executions.lifecycle.expiry import expire
from executions.lifecycle.frames import (
    advance_frame,
    break_frame,
    close_frame,
    cut_frames,
    frames_of,
    hear,
    make_frames,
    start_frames,
    unheard,
)
from executions.lifecycle.losses import (
    give_back,
    give_up_crashed,
    put_aside,
    return_lost,
)
from executions.lifecycle.outcomes import (
    Outcome,
    Settled,
    is_recorded,
    is_scheduled,
    schedule_retry,
    settle,
    settle_and_claim,
    settle_and_close,
    settle_and_complete,
    settle_and_fail,
    wake_execution,
)
from executions.lifecycle.passages import (
    advance,
    copy_runs,
    create,
    create_many,
    leave,
    next_epoch,
)
from executions.lifecycle.requests import (
    Request,
    let_go,
    pause,
    request_cancel,
    rest,
    resume,
    stir,
)
from executions.lifecycle.revivals import Again, reset_step, revive
from executions.lifecycle.settlements import (
    Finished,
    settle_and_claim_many,
    settle_and_close_many,
    settle_and_complete_many,
    settle_many,
)
from executions.lifecycle.waits import (
    Waiting,
    begin_waiting,
    due_waits,
    put_off,
    recall,
    remember,
    rouse,
    tell,
)

__all__ = [
    "Again",
    "Claim",
    "Finished",
    "NewRun",
    "Outcome",
    "Request",
    "Settled",
    "Waiting",
    "advance",
    "advance_frame",
    "begin_waiting",
    "break_frame",
    "claim",
    "claim_many",
    "claim_of",
    "claims_of",
    "close_frame",
    "complete",
    "copy_runs",
    "create",
    "create_many",
    "cut_frames",
    "due_waits",
    "expire",
    "fail",
    "finish_cancel",
    "frames_of",
    "give_back",
    "give_up_crashed",
    "hear",
    "hold",
    "is_recorded",
    "is_scheduled",
    "leave",
    "let_go",
    "make_frames",
    "next_epoch",
    "pause",
    "put_aside",
    "put_back",
    "put_off",
    "recall",
    "remember",
    "request_cancel",
    "reset_step",
    "rest",
    "resume",
    "return_lost",
    "revive",
    "rouse",
    "schedule_retry",
    "settle",
    "settle_and_claim",
    "settle_and_claim_many",
    "settle_and_close",
    "settle_and_close_many",
    "settle_and_complete",
    "settle_and_complete_many",
    "settle_and_fail",
    "settle_many",
    "skip",
    "start_frames",
    "stir",
    "tell",
    "tell_begun",
    "terminate",
    "time_out",
    "unheard",
    "wake_execution",
]
