"""Reasoning patterns on real workers: every call is counted from outside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bodies import by_path, steer
from tests.acceptance.patterns import Cast, pattern
from tests.acceptance.system import System, step, until

pytestmark = pytest.mark.acceptance
WORK = ("planner", "executor", "reviewer")
ACCEPT = {"field": "output.ok", "operator": "==", "value": True}
NO, YES = {"ok": False}, {"ok": True}


@pytest.fixture
def cast(system: System, traces: Path) -> Cast:
    return Cast(system, traces)


def completed(system: System, *steps: Any, **fields: Any) -> Any:
    """Run a pattern, and return what it came to."""
    ended = system.run(*steps, **fields)
    assert ended["status"] == "completed", ended["error"]
    return ended["output"]["it"]


def failed(system: System, *steps: Any, **fields: Any) -> dict[str, Any]:
    ended = system.run(*steps, **fields)
    assert ended["status"] == "failed"
    return ended


def retried(system: System, ended: dict[str, Any]) -> dict[str, Any]:
    steer(system, ended["id"], "retry")
    again = system.finished(ended["id"])
    assert again["status"] == "completed", again["error"]
    return again


# --- planner_executor_reviewer ----------------------------------------------------


def work(
    cast: Cast, drafts: list[Any], reviews: list[Any], **config: Any
) -> dict[str, Any]:
    roles = {
        "planner": cast.says("planner", "plan"),
        "executor": cast.says("executor", *drafts),
        "reviewer": cast.says("reviewer", *reviews),
    }
    fields = config.pop("fields", {"input_mapping": "task"})
    config = {**roles, "accept": ACCEPT, **config}
    return pattern("planner_executor_reviewer", config, **fields)


def test_work_that_is_accepted_at_once_is_not_revised(
    system: System, cast: Cast
) -> None:
    result = completed(system, work(cast, ["draft"], [YES]))

    assert result == {
        "result": "draft",
        "review": YES,
        "accepted": True,
        "revisions": 0,
    }
    assert cast.calls(*WORK) == {"planner": 1, "executor": 1, "reviewer": 1}
    assert cast.given("planner") == [{"task": "task"}]
    assert cast.given("reviewer") == [
        {"task": "task", "plan": "plan", "result": "draft"}
    ]


def test_work_is_revised_until_it_is_accepted(system: System, cast: Cast) -> None:
    reviews = [{"ok": False, "why": 1}, {"ok": False, "why": 2}, YES]
    result = completed(system, work(cast, ["a", "b", "c"], reviews))

    assert result == {"result": "c", "review": YES, "accepted": True, "revisions": 2}
    assert cast.calls(*WORK) == {"planner": 1, "executor": 3, "reviewer": 3}
    asked = {"task": "task", "plan": "plan"}
    assert cast.given("executor") == [
        {**asked, "review": None, "result": None},
        {**asked, "review": reviews[0], "result": "a"},
        {**asked, "review": reviews[1], "result": "b"},
    ]


def test_work_that_is_never_accepted_ends_with_what_there_is(
    system: System, cast: Cast
) -> None:
    result = completed(system, work(cast, ["a", "b", "c"], [NO], max_revisions=2))

    assert result == {"result": "c", "review": NO, "accepted": False, "revisions": 2}
    assert cast.calls(*WORK) == {"planner": 1, "executor": 3, "reviewer": 3}


def test_work_that_is_never_accepted_can_be_a_failure(
    system: System, cast: Cast
) -> None:
    ended = failed(system, work(cast, ["a"], [NO], max_revisions=0, on_limit="fail"))

    assert (ended["error"]["step_key"], ended["error"]["type"]) == (
        "it_result",
        "not_accepted",
    )
    assert cast.calls(*WORK) == {"planner": 1, "executor": 1, "reviewer": 1}


def test_a_retry_does_not_call_again_what_had_finished(
    system: System, cast: Cast
) -> None:
    drafts = ["a", cast.fails("Out of paper.", "b"), "b"]
    ended = failed(system, work(cast, drafts, [NO, YES]))

    assert ended["error"]["message"] == "Out of paper."
    assert cast.calls(*WORK) == {"planner": 1, "executor": 2, "reviewer": 1}

    cast.mend()
    again = retried(system, ended)

    assert again["output"]["it"]["result"] == "b"
    assert again["output"]["it"]["revisions"] == 1
    assert cast.calls(*WORK) == {"planner": 1, "executor": 3, "reviewer": 2}


def test_retries_are_those_of_each_call(system: System, cast: Cast) -> None:
    again = {"fail": "Not now.", "retryable": True}
    fields = {"input_mapping": 1, "max_retries": 2, "retry_delay_ms": 10}
    done = work(cast, [again, again, "a"], [again, YES], fields=fields)

    assert completed(system, done)["revisions"] == 0
    assert cast.calls(*WORK) == {"planner": 1, "executor": 3, "reviewer": 2}


def test_the_steps_of_a_pattern_are_seen_at_their_paths(
    system: System, cast: Cast
) -> None:
    ended = system.run(work(cast, ["a", "b"], [NO, YES]))

    roles = {path: log for path, log in by_path(ended, "role_name").items() if log}
    assert list(roles) == [
        "it[run]/it_plan",
        "it[run]/it_revisions[0]/it_execute",
        "it[run]/it_revisions[0]/it_review",
        "it[run]/it_revisions[1]/it_execute",
        "it[run]/it_revisions[1]/it_review",
    ]
    assert set(ended["output"]) == {"it"}


def test_a_pattern_stands_where_any_step_does(system: System, cast: Cast) -> None:
    """In a group, in a loop, without a task of its own, and after a failure."""
    same = system.role("util.identity")
    fields = {"key": "inner", "output_mapping": {"kept": "{{ output.result }}"}}
    inside = {**work(cast, ["a", "b"], [YES], fields={}), **fields}
    turns = {
        "key": "it",
        "step_type": "loop",
        "parallel_group": "g",
        "config": {"max_iterations": 2, "on_limit": "continue"},
        "steps": [
            step("say", same, key="say", input_mapping="{{ loop.index }}"),
            inside,
            step("tell", same, key="tell", input_mapping="{{ context.kept }}"),
        ],
    }
    beside = step("beside", same, key="beside", parallel_group="g", input_mapping=1)

    assert completed(system, turns, beside) == "b"
    assert [each["task"] for each in cast.given("planner")] == [0, 1]
    assert cast.calls(*WORK) == {"planner": 2, "executor": 2, "reviewer": 2}


def test_a_pattern_may_fail_without_the_execution_and_may_follow_a_failure(
    system: System, cast: Cast
) -> None:
    bad = system.role("test.fail")
    lost = work(cast, [{"fail": "No."}], [YES], fields={"on_error": "continue"})
    told = pattern(
        "map_reduce",
        {
            "items": ["{{ context.failure.step_key }}", "{{ context.errors.it.type }}"],
            "mapper": cast.says("mapper", "told"),
            "reducer": cast.says("reducer", "all told"),
        },
        key="tell",
    )
    last = step("bad", bad, key="bad")
    ended = failed(system, lost, last, on_failure=[told])

    assert ended["error"]["step_key"] == "bad"
    last_words = [
        log["output"] for log in ended["step_logs"] if log["step_key"] == "tell"
    ]
    assert last_words == ["all told"]
    values = sorted(each["value"] for each in cast.given("mapper"))
    assert values == ["bad", "function_failed"]


def test_cancelling_ends_what_a_pattern_has_under_way(
    system: System, cast: Cast, traces: Path
) -> None:
    made = work(cast, ["a"], [YES], fields={"input_mapping": {"trace": cast.name}})
    made["config"]["executor"] = system.role(
        "test.ahold", config={"arguments": {"trace": cast.name, "seconds": 60}}
    )
    running = system.execute(system.orchestration(made))
    until((traces / cast.name).exists, what="a call")

    steer(system, running, "cancel")
    ended = system.finished(running)

    assert ended["status"] == "cancelled"
    assert by_path(ended, "status")["it"] == "cancelled"
    assert cast.calls(*WORK) == {"planner": 1, "executor": 0, "reviewer": 0}


def test_a_call_that_takes_too_long_is_ended(
    system: System, cast: Cast, traces: Path
) -> None:
    made = work(cast, ["a"], [YES], fields={"timeout_ms": 300})
    made["config"]["planner"] = system.role(
        "test.ahold", config={"arguments": {"trace": cast.name, "seconds": 60}}
    )
    ended = failed(system, made)

    assert by_path(ended, "status")["it[run]/it_plan"] == "timed_out"
    assert cast.calls("executor") == {"executor": 0}


# --- map_reduce -------------------------------------------------------------------

TENS = {"1": 10, "2": 20, "3": 30}


def counted(cast: Cast, table: dict[str, Any], **config: Any) -> dict[str, Any]:
    roles = {
        "mapper": cast.knows("mapper", "value", table),
        "reducer": cast.says("reducer", "sum"),
    }
    return pattern("map_reduce", {"items": [1, 2, 3], **roles, **config})


def test_every_item_is_mapped_and_all_are_reduced_once(
    system: System, cast: Cast
) -> None:
    assert completed(system, counted(cast, TENS)) == "sum"

    assert cast.calls("mapper", "reducer") == {"mapper": 3, "reducer": 1}
    assert cast.given("reducer") == [{"results": [10, 20, 30]}]


def test_nothing_to_map_is_reduced_as_well(system: System, cast: Cast) -> None:
    assert completed(system, counted(cast, TENS, items=[])) == "sum"

    assert cast.calls("mapper", "reducer") == {"mapper": 0, "reducer": 1}
    assert cast.given("reducer") == [{"results": []}]


@pytest.mark.parametrize(
    ("item_errors", "results"), [("drop", [10, 30]), ("continue", [10, None, 30])]
)
def test_mappers_that_fail_may_be_left_out(
    system: System, cast: Cast, item_errors: str, results: list[Any]
) -> None:
    table = {**TENS, "2": {"fail": "No."}}
    completed(system, counted(cast, table, item_errors=item_errors))

    assert cast.calls("mapper", "reducer") == {"mapper": 3, "reducer": 1}
    assert cast.given("reducer") == [{"results": results}]


def test_a_retry_maps_only_what_had_failed(system: System, cast: Cast) -> None:
    table = {**TENS, "3": cast.fails("No.", 30)}
    ended = failed(system, counted(cast, table, max_parallel=1))
    assert cast.calls("mapper", "reducer") == {"mapper": 3, "reducer": 0}

    cast.mend()
    retried(system, ended)

    assert cast.calls("mapper", "reducer") == {"mapper": 4, "reducer": 1}
    assert cast.given("reducer") == [{"results": [10, 20, 30]}]


def test_with_a_task_both_roles_see_it(system: System, cast: Cast) -> None:
    same = system.role("util.identity")
    config = {
        "items": "{{ output.items }}",
        "mapper": cast.says("mapper", "m"),
        "reducer": cast.says("reducer", "r"),
    }
    first = step("first", same, key="first", input_mapping={"items": [7], "what": "x"})
    task = pattern("map_reduce", config, input_mapping="{{ output.what }}")

    assert completed(system, first, task) == "r"
    assert cast.given("mapper") == [{"task": "x", "item": 7}]
    assert cast.given("reducer") == [{"task": "x", "results": ["m"]}]


# --- tree_of_thoughts -------------------------------------------------------------


def tree(cast: Cast, scores: Mapping[str, float], **config: Any) -> dict[str, Any]:
    """Let thoughts be paths of digits: 1, 12, 121, ..."""
    table = {thought: {"score": score} for thought, score in scores.items()}
    roles = {
        "generator": cast.sprouts("generator"),
        "scorer": cast.knows("scorer", "thought", table),
    }
    config = {"breadth": 2, "depth": 2, "beam": 2, **roles, **config}
    return pattern("tree_of_thoughts", config, input_mapping="task")


def thoughts(count: int) -> dict[str, int]:
    return {"generator": count, "scorer": count}


FIRST = {"1": 5, "2": 4}
SECOND = {"11": 1, "12": 6, "21": 8, "22": 2}


def test_the_best_thought_is_found_where_the_best_beginning_does_not_lead(
    system: System, cast: Cast
) -> None:
    third = {"211": 1, "212": 2, "121": 7, "122": 9}
    result = completed(system, tree(cast, FIRST | SECOND | third, depth=3))

    assert result == {"thought": "122", "score": 9, "path": ["1", "12", "122"]}
    # 2 thoughts upon nothing, then twice 2 upon each of 2.
    assert cast.calls("generator", "scorer") == thoughts(2 + 4 + 4)
    assert cast.given("scorer")[0].keys() == {"task", "path", "thought"}
    asked = [each for each in cast.given("generator") if each["path"] == ["2"]]
    assert sorted(each["number"] for each in asked) == [1, 2]
    assert all(each["task"] == "task" for each in asked)


def test_a_narrow_beam_follows_one_thought_alone(system: System, cast: Cast) -> None:
    result = completed(system, tree(cast, FIRST | SECOND, beam=1))

    assert result == {"thought": "12", "score": 6, "path": ["1", "12"]}
    assert cast.calls("generator", "scorer") == thoughts(2 + 2)


def test_thoughts_below_the_threshold_are_not_thought_on(
    system: System, cast: Cast
) -> None:
    result = completed(system, tree(cast, FIRST | SECOND, threshold=5))

    assert result["thought"] == "12"
    assert cast.calls("generator", "scorer") == thoughts(2 + 2)


@pytest.mark.parametrize(("threshold", "count"), [(6, 2), (5.5, 2), (4.5, 4)])
def test_without_a_thought_left_it_fails(
    system: System, cast: Cast, threshold: float, count: int
) -> None:
    low = dict.fromkeys(SECOND, 0)
    ended = failed(system, tree(cast, FIRST | low, threshold=threshold))

    assert ended["error"]["type"] == "no_thought_left"
    assert cast.calls("generator", "scorer") == thoughts(count)


def test_of_equal_thoughts_the_first_is_the_better_one(
    system: System, cast: Cast
) -> None:
    same = dict.fromkeys(FIRST | SECOND, 1)
    result = completed(system, tree(cast, same, beam=1))

    assert result == {"thought": "11", "score": 1, "path": ["1", "11"]}


def test_a_retry_thinks_only_what_was_not_thought(system: System, cast: Cast) -> None:
    scores: dict[str, Any] = FIRST | SECOND
    made = tree(cast, scores, beam=1)
    table = {each: {"score": score} for each, score in scores.items()}
    table["12"] = cast.fails("No.", {"score": 6})
    made["config"]["scorer"] = cast.knows("scorer", "thought", table)
    ended = failed(system, made)
    before = cast.calls("generator", "scorer")
    assert before == thoughts(2 + 2)

    cast.mend()
    again = retried(system, ended)

    assert again["output"]["it"]["thought"] == "12"
    assert cast.calls("generator", "scorer") == {"generator": 4, "scorer": 5}


def test_a_score_that_is_no_number_is_named(system: System, cast: Cast) -> None:
    made = tree(cast, {})
    made["config"]["scorer"] = cast.says("scorer", {"score": "high"})
    ended = failed(system, made)

    assert ended["error"]["type"] == "bad_score"
    assert "not text" in ended["error"]["message"]


# --- debate -----------------------------------------------------------------------


def debate(cast: Cast, scores: list[float], **config: Any) -> dict[str, Any]:
    criticism = [
        {"score": score, "because": place} for place, score in enumerate(scores)
    ]
    roles = {
        "creator": cast.says("creator", "a", "b", "c"),
        "critic": cast.says("critic", *criticism),
    }
    config = {**roles, "threshold": 8, "max_rounds": 3, **config}
    return pattern("debate", config, input_mapping="task")


TALK = ("creator", "critic", "judge")


def test_a_debate_ends_with_a_score_that_is_high_enough(
    system: System, cast: Cast
) -> None:
    result = completed(system, debate(cast, [3, 8]))

    assert result == {"result": "b", "score": 8, "rounds": 2}
    assert cast.calls(*TALK) == {"creator": 2, "critic": 2, "judge": 0}
    assert cast.given("creator") == [
        {"task": "task", "result": None, "criticism": None},
        {"task": "task", "result": "a", "criticism": {"score": 3, "because": 0}},
    ]
    assert cast.given("critic")[1] == {"task": "task", "result": "b"}


def test_a_debate_has_no_more_rounds_than_it_may(system: System, cast: Cast) -> None:
    made = debate(cast, [1, 2, 3], judge=cast.says("judge", "Enough."))
    result = completed(system, made)

    assert result == {"result": "c", "score": 3, "rounds": 3, "verdict": "Enough."}
    assert cast.calls(*TALK) == {"creator": 3, "critic": 3, "judge": 1}
    (seen,) = cast.given("judge")
    assert [each["result"] for each in seen["rounds"]] == ["a", "b", "c"]
    assert [each["score"] for each in seen["rounds"]] == [1, 2, 3]


def test_a_score_may_lie_deep_in_the_criticism(system: System, cast: Cast) -> None:
    made = debate(cast, [], score="mark.of.ten")
    made["config"]["critic"] = cast.says("critic", {"mark": {"of": {"ten": 9}}})

    assert completed(system, made)["score"] == 9
    assert cast.calls(*TALK) == {"creator": 1, "critic": 1, "judge": 0}


def test_criticism_without_a_score_is_an_error(system: System, cast: Cast) -> None:
    made = debate(cast, [9], score="mark")
    ended = failed(system, made)

    assert ended["error"]["type"] == "bad_output"
    assert "'mark'" in ended["error"]["message"]


# --- vote -------------------------------------------------------------------------


def vote(cast: Cast, cast_votes: list[Any], **config: Any) -> dict[str, Any]:
    table = {str(place): each for place, each in enumerate(cast_votes, start=1)}
    voter = cast.knows("voter", "number", table)
    config = {"voter": voter, "samples": len(cast_votes), **config}
    return pattern("vote", config, input_mapping="task")


def test_most_votes_win(system: System, cast: Cast) -> None:
    result = completed(system, vote(cast, ["a", "b", "a"]))

    assert result == {
        "winner": "a",
        "votes": {"a": 2, "b": 1},
        "samples": ["a", "b", "a"],
    }
    assert cast.calls("voter") == {"voter": 3}
    assert {each["task"] for each in cast.given("voter")} == {"task"}


def test_votes_are_a_field_of_what_is_said(system: System, cast: Cast) -> None:
    said = [{"pick": 1, "why": n} for n in range(2)] + [{"pick": True}, {"pick": 1}]
    result = completed(system, vote(cast, said, field="pick"))

    assert (result["winner"], result["votes"]) == (1, {"1": 3, "true": 1})
    assert result["samples"] == said


@pytest.mark.parametrize(
    ("votes", "config"),
    [
        (["a", "b"], {}),  # a majority of 2 is 2
        (["a", "a", "b", "c"], {}),  # and of 4 it is 3
        (["a", "a", "b", "b"], {"quorum": 2}),  # both have the quorum
        (["a", "a", "a"], {"quorum": 4}),
    ],
)
def test_without_a_quorum_nobody_wins(
    system: System, cast: Cast, votes: list[str], config: dict[str, Any]
) -> None:
    if config.get("quorum", 0) > len(votes):
        votes = [*votes, "b"]
    ended = failed(system, vote(cast, votes, tie_break="fail", **config))

    assert ended["error"]["type"] == "no_quorum"
    assert cast.calls("voter") == {"voter": len(votes)}


def test_a_tie_goes_to_the_vote_that_came_first(system: System, cast: Cast) -> None:
    result = completed(system, vote(cast, ["c", "b", "a", "b", "a"], tie_break="first"))

    assert result["winner"] == "b"
    assert result["votes"] == {"b": 2, "a": 2, "c": 1}


@pytest.mark.parametrize(("votes", "asked"), [("aab", 0), ("abc", 1)])
def test_a_role_breaks_ties_and_only_those(
    system: System, cast: Cast, votes: str, asked: int
) -> None:
    breaker = cast.says("breaker", {"pick": "c"})
    made = vote(
        cast,
        [{"pick": each} for each in votes],
        field="pick",
        tie_break="role",
        tie_breaker={"role_name": breaker},
    )
    result = completed(system, made)

    assert result["winner"] == ("c" if asked else "a")
    assert set(result) == {"winner", "votes", "samples"}
    assert cast.calls("voter", "breaker") == {"voter": 3, "breaker": asked}
    seen = [each["votes"] for each in cast.given("breaker")]
    assert seen == [{"a": 1, "b": 1, "c": 1}] * asked


def test_a_retry_asks_only_the_voters_that_failed(system: System, cast: Cast) -> None:
    votes = ["a", "a", cast.fails("No.", "a")]
    ended = failed(system, vote(cast, votes))
    statuses = by_path(ended, "status")
    samples = [statuses.get(f"it[run]/it_samples[{n}]/it_sample") for n in range(3)]
    assert samples[2] == "failed"

    cast.mend()
    again = retried(system, ended)

    assert again["output"]["it"]["votes"] == {"a": 3}
    asked = [each["number"] for each in cast.given("voter")]
    assert asked.count(3) == 2
    for number, status in enumerate(samples, start=1):
        assert status != "completed" or asked.count(number) == 1
