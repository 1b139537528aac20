"""Definitions that the API's own page shows."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

TWO_STEPS = OpenApiExample(
    "Two steps",
    value={
        "name": "Greeting",
        "tags": ["demo"],
        "steps": [
            {
                "key": "draft",
                "name": "Draft",
                "role_name": "Writer",
                "input_mapping": {"text": "Hello {{ context.input.who }}!"},
            },
            {
                "key": "shout",
                "name": "Shout",
                "role_name": "Shouter",
                "condition": {"field": "output.text", "operator": "exists"},
                "max_retries": 2,
            },
        ],
    },
    request_only=True,
)
LOOP = OpenApiExample(
    "A loop with a branch in it",
    value={
        "name": "Refining",
        "steps": [
            {
                "key": "refine",
                "name": "Refine",
                "step_type": "loop",
                "config": {
                    "max_iterations": 5,
                    "until": {"field": "output.score", "operator": ">=", "value": 8},
                },
                "steps": [
                    {"key": "draft", "name": "Draft", "role_name": "Writer"},
                    {
                        "key": "route",
                        "name": "Route",
                        "step_type": "branch",
                        "config": {
                            "cases": [
                                {
                                    "branch": "review",
                                    "condition": {
                                        "field": "loop.index",
                                        "operator": ">",
                                        "value": 0,
                                    },
                                }
                            ],
                            "else": "skim",
                        },
                        "steps": [
                            {
                                "key": "review",
                                "name": "Review",
                                "role_name": "Critic",
                            },
                            {
                                "key": "glance",
                                "name": "Glance",
                                "branch": "skim",
                                "role_name": "Reader",
                            },
                        ],
                    },
                ],
            }
        ],
    },
    request_only=True,
)
WAITING = OpenApiExample(
    "An approval, a wait, and what is done on failure",
    value={
        "name": "Paying back",
        "steps": [
            {
                "key": "reserve",
                "name": "Reserve",
                "role_name": "Payments",
                "compensate": {"role_name": "Canceller"},
            },
            {
                "key": "ask",
                "name": "May it be paid back?",
                "step_type": "approval",
                "config": {
                    "prompt": "Pay {{ context.reserve.amount }} back?",
                    "groups": ["managers"],
                    "timeout_ms": 86_400_000,
                    "on_timeout": "escalate",
                    "escalate_to": {"permission": "payments.approve_all"},
                },
            },
            {
                "key": "booked",
                "name": "Booked",
                "step_type": "wait",
                "config": {
                    "event": "booked",
                    "match": {
                        "field": "event.payload.id",
                        "operator": "==",
                        "value": "{{ context.reserve.id }}",
                    },
                },
            },
        ],
        "on_failure": [
            {
                "key": "tell",
                "name": "Tell",
                "role_name": "Messenger",
                "input_mapping": {"text": "{{ context.failure.message }}"},
            }
        ],
        "limits": {"max_steps": 100},
    },
    request_only=True,
)
PATTERN = OpenApiExample(
    "A reasoning pattern",
    value={
        "name": "Writing",
        "steps": [
            {
                "key": "write",
                "name": "Write",
                "step_type": "planner_executor_reviewer",
                "input_mapping": "{{ context.input.goal }}",
                "max_retries": 2,
                "config": {
                    "planner": "Planner",
                    "executor": "Writer",
                    "reviewer": "Critic",
                    "accept": {"field": "output.score", "operator": ">=", "value": 8},
                    "max_revisions": 3,
                    "on_limit": "continue",
                },
            },
            {
                "key": "choose",
                "name": "Choose a title",
                "step_type": "vote",
                "input_mapping": "{{ context.write.result }}",
                "config": {
                    "voter": "Writer",
                    "samples": 5,
                    "field": "title",
                    "tie_break": "role",
                    "tie_breaker": {"role_name": "Critic"},
                },
            },
        ],
    },
    request_only=True,
)
