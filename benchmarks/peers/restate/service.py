"""The handlers that are measured, served to Restate by hypercorn: `service:app`."""

from __future__ import annotations

import asyncio
from functools import partial

import restate

bench = restate.Service("bench")


async def _noop() -> int:
    return 1


async def _pause(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 1


@bench.handler()
async def chain(ctx: restate.Context, length: int) -> int:
    for number in range(length):
        await ctx.run_typed(f"step-{number}", _noop)
    return length


@bench.handler()
async def child(ctx: restate.Context, number: int) -> int:
    return await ctx.run_typed("step", _noop)


@bench.handler()
async def fan_in_handler(ctx: restate.Context, width: int) -> int:
    """Run the steps side by side inside one invocation."""
    steps = [ctx.run_typed(f"step-{number}", _noop) for number in range(width)]
    await restate.gather(*steps)
    await ctx.run_typed("join", _noop)
    return width


@bench.handler()
async def fan_children(ctx: restate.Context, width: int) -> int:
    """Run an invocation for each step, spread over the service's processes."""
    calls = [ctx.service_call(child, arg=number) for number in range(width)]
    await restate.gather(*calls)
    await ctx.run_typed("join", _noop)
    return width


@bench.handler()
async def wait(ctx: restate.Context, seconds: float) -> int:
    return await ctx.run_typed("wait", partial(_pause, seconds))


app = restate.app([bench])
