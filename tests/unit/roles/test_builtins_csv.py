from __future__ import annotations

import pytest

from roles.builtins import csv_text
from roles.functions import FunctionFailed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_text, "_configuration", csv_text.Configuration())
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    csv_text.configure(data_dir=tmp_path / "data")
    return tmp_path / "data"


def test_cells_stay_text_unless_types_are_given():
    assert csv_text.parse("id,zip\n1,007\n\n2,\n") == [
        {"id": "1", "zip": "007"},
        {"id": "2", "zip": ""},
    ]


def test_quotes_line_breaks_and_a_byte_order_mark_are_understood():
    text = '\ufeffid;note\r\n1;"a;""b""\r\nc"\r\n'

    assert csv_text.parse({"text": text, "separator": ";"}) == [
        {"id": "1", "note": 'a;"b"\r\nc'}
    ]


def test_types_are_converted_as_asked():
    types = {"a": "integer", "b": "number", "c": "boolean", "d": "text"}
    text = "a,b,c,d\n007,1.5e1,TRUE,1\n,,,\n"

    assert csv_text.parse({"text": text, "types": types}) == [
        {"a": 7, "b": 15.0, "c": True, "d": "1"},
        {"a": None, "b": None, "c": None, "d": ""},
    ]


def test_auto_tells_types_by_their_looks_and_leaves_codes_alone():
    text = "a,b,c,d,e,f,g\n7,-1.5,true,007,+49,nan,1_0\n"
    (row,) = csv_text.parse({"text": text, "types": "auto"})

    assert list(row.values()) == [7, -1.5, True, "007", "+49", "nan", "1_0"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "a,b\n1\n"}, "Line 2 has 1 cells, the header 2"),
        ({"text": "a,a\n1,2\n"}, "has 'a' more than once"),
        ({"text": 'a\n"open\n'}, "is not CSV"),
        ({"text": "a\nx\n", "types": {"a": "integer"}}, "Line 2: 'a' holds 'x'"),
        ({"text": "a\n1e999\n", "types": {"a": "number"}}, "not number"),
        ({"text": "a\nyes\n", "types": {"a": "boolean"}}, "not boolean"),
        ({"text": "a\n1\n", "types": {"a": "date"}}, "`types` is"),
        ({"text": "a\n1\n", "types": ["a"]}, "`types` is"),
        ({"text": "a\n", "separator": "::"}, "one character"),
        ({"text": None}, "Give a text as `text`"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(given, message):
    with pytest.raises(FunctionFailed) as caught:
        csv_text.parse(given)

    assert message in caught.value.message


def test_an_empty_text_has_no_rows():
    assert csv_text.parse("") == []


def test_a_file_below_the_data_folder_is_read(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "orders.csv").write_text("id\n1\n", encoding="utf-8-sig")

    assert csv_text.read({"path": "sub/orders.csv"}) == [{"id": "1"}]


@pytest.mark.parametrize(
    "path", ["../secret.csv", "/etc/passwd", "sub/../../secret.csv", "link.csv"]
)
def test_nothing_outside_the_data_folder_is_read(folder, path):
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")

    with pytest.raises(FunctionFailed, match="outside the data folder") as caught:
        csv_text.read({"path": path})

    assert caught.value.type == "path_refused"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.csv", "No such file"),
        (".", "directory"),
        ("latin.csv", "not UTF-8"),
        ("large.csv", "larger than"),
        ("a\0b", "NUL"),
    ],
)
def test_an_unreadable_file_is_named(folder, path, message):
    (folder / "latin.csv").write_bytes(b"a\n\xe9\n")
    with (folder / "large.csv").open("wb") as large:
        large.truncate(csv_text.MAX_FILE_BYTES + 1)

    with pytest.raises(FunctionFailed, match=message):
        csv_text.read({"path": path})


def test_without_a_data_folder_no_file_is_read(folder):
    csv_text.configure(data_dir=None)

    with pytest.raises(FunctionFailed, match="no data folder"):
        csv_text.read({"path": "orders.csv"})
