"""What patterns work out between their calls."""

from __future__ import annotations

from typing import Any

import pytest

from executions.bodies import Fault
from executions.native.reckoning import FUNCTIONS


def reckoned(function: str, **given: Any) -> Any:
    return FUNCTIONS[function](given)


def fault(function: str, **given: Any) -> Fault:
    with pytest.raises(Fault) as raised:
        reckoned(function, **given)
    return raised.value


def scored(*scores: float) -> list[dict[str, Any]]:
    return [{"thought": n, "score": score} for n, score in enumerate(scores)]


def test_a_value_is_what_was_given() -> None:
    assert reckoned("value", a=[1]) == {"a": [1]}


def test_a_result_is_accepted_or_a_failure() -> None:
    assert reckoned("accepted", accepted=True, revisions=2)["revisions"] == 2
    assert fault("accepted", accepted=False, revisions=2).type == "not_accepted"


def test_the_first_thoughts_are_upon_nothing() -> None:
    sprouts = reckoned("sprouts", beam=None, breadth=2)
    assert sprouts == [{"path": [], "number": 1}, {"path": [], "number": 2}]


def test_each_thought_of_the_beam_is_thought_on() -> None:
    beam = [{"path": ["a"]}, {"path": ["b"]}]
    sprouts = reckoned("sprouts", beam=beam, breadth=2)
    assert [(each["path"], each["number"]) for each in sprouts] == [
        (["a"], 1),
        (["a"], 2),
        (["b"], 1),
        (["b"], 2),
    ]


def test_a_thought_ends_its_path() -> None:
    made = reckoned("thought", path=["a"], thought="b", scored={"score": 1.5})
    assert made == {"thought": "b", "score": 1.5, "path": ["a", "b"]}


@pytest.mark.parametrize("score", [None, True, "8", [8]])
def test_a_score_is_a_number(score: Any) -> None:
    given = {"path": [], "thought": "b", "scored": {"score": score}}
    assert fault("thought", **given).type == "bad_score"


@pytest.mark.parametrize("said", [None, "8", {}, {"mark": 8}])
def test_a_score_is_there(said: Any) -> None:
    found = fault("round", result=1, criticism=said, field="score")
    assert found.type == "bad_output"
    assert "'score'" in found.message


def test_a_round_keeps_all_of_the_criticism() -> None:
    criticism = {"a": {"b": 3}, "why": "so"}
    made = reckoned("round", result="r", criticism=criticism, field="a.b")
    assert made == {"result": "r", "criticism": criticism, "score": 3}


@pytest.mark.parametrize(
    ("scores", "beam", "threshold", "kept"),
    [
        ((1, 3, 2), 2, None, [1, 2]),
        ((1, 1, 1), 2, None, [0, 1]),
        ((1, 3, 2), 9, 2, [1, 2]),
        ((-5, -1.5), 1, -2, [1]),
    ],
)
def test_the_best_thoughts_are_kept_the_first_of_equals(
    scores: tuple[float, ...], beam: int, threshold: float | None, kept: list[int]
) -> None:
    given = {"thoughts": scored(*scores), "beam": beam, "threshold": threshold}
    assert [each["thought"] for each in reckoned("select", **given)] == kept


def test_without_a_thought_left_it_says_how_near_it_was() -> None:
    found = fault("select", thoughts=scored(1, 3), beam=1, threshold=4)
    assert found.type == "no_thought_left"
    assert "best scored 3" in found.message


def tallied(votes: list[Any], **given: Any) -> Any:
    defaults = {"field": None, "quorum": 2, "tie_break": "fail"}
    return reckoned("tally", samples=votes, **{**defaults, **given})


def test_votes_are_counted_by_how_they_are_written() -> None:
    found = tallied([{"b": 1, "a": 2}, "x", {"a": 2, "b": 1}])
    assert found["votes"] == {'{"a": 2, "b": 1}': 2, "x": 1}
    assert found["winner"] == {"b": 1, "a": 2}


@pytest.mark.parametrize(
    ("votes", "quorum"), [("ab", 1), ("aabb", 2), ("abc", 2), ("aab", 3)]
)
def test_one_vote_alone_must_have_the_quorum(votes: str, quorum: int) -> None:
    with pytest.raises(Fault) as raised:
        tallied(list(votes), quorum=quorum)
    assert raised.value.type == "no_quorum"
    assert f"quorum of {quorum}" in raised.value.message
    first = tallied(list(votes), quorum=quorum, tie_break="first")
    assert first["winner"] == "a"
    by_role = tallied(list(votes), quorum=quorum, tie_break="role")
    assert (by_role["winner"], by_role["decided"]) == (None, False)


def test_a_vote_that_is_not_there_is_named() -> None:
    with pytest.raises(Fault) as raised:
        tallied([{"pick": "a"}, {}], field="pick")
    assert raised.value.type == "bad_output"
    assert "number 2" in raised.value.message


@pytest.mark.parametrize(("votes", "winner"), [("aab", "a"), ("abc", "z")])
def test_a_role_decides_only_what_is_open(votes: str, winner: str) -> None:
    tally = tallied(list(votes), tie_break="role")
    choice = {"pick": "z"} if winner == "z" else None
    elected = reckoned("elect", tally=tally, choice=choice, field="pick")
    assert elected["winner"] == winner
    assert elected.keys() == {"winner", "votes", "samples"}
