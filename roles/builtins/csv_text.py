"""
`csv.parse`, `csv.dump` and `csv.read`: tables as lists of objects.

Files are read below one folder only, set by `configure`; without one, none are.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roles.builtins.arguments import BadArguments, argument, names_of, rows_of, subject
from roles.functions import FunctionFailed, function

MAX_FILE_BYTES = 20_000_000

_CODE = re.compile(r"\s*(\+|-?0\d)")  # 007 and +49 are not meant as numbers

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Where `csv.read` may read."""

    data_dir: Path | None = None


_configuration = Configuration()


def configure(*, data_dir: str | Path | None) -> None:
    """Set the folder below which `csv.read` finds its files."""
    global _configuration
    folder = None if data_dir is None else Path(data_dir).resolve()
    _configuration = Configuration(data_dir=folder)


@function("csv.parse")
def parse(given: Any) -> list[Row]:
    """
    Return the rows of the CSV `text` as objects, named by its first line.

    `separator` is a comma unless given. `types` is {column: text, integer, number
    or boolean}, or "auto" to tell them by their looks; an empty cell with a type
    other than text is null.
    """
    return _rows(subject(given, "text", str), given)


@function("csv.read")
def read(given: Any) -> list[Row]:
    """Return the rows of the CSV file `path` below the data folder, as csv.parse."""
    return _rows(_content(argument(given, "path", str)), given)


@function("csv.dump")
def dump(given: Any) -> str:
    """Return `items` as CSV text with a header; `columns` sets which, in what order."""
    rows = rows_of(given)
    columns = (
        names_of(given, "columns")
        if isinstance(given, dict) and given.get("columns") is not None
        else list(dict.fromkeys(key for row in rows for key in row))
    )
    written = io.StringIO()
    writer = csv.writer(written, delimiter=_separator(given), lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return written.getvalue()


def _content(name: str) -> str:
    folder = _configuration.data_dir
    if folder is None:
        raise FunctionFailed(
            "There is no data folder to read from.", type="no_data_dir"
        )
    if "\0" in name:
        raise BadArguments("`path` must not hold a NUL character.")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise FunctionFailed(
            f"{name!r} lies outside the data folder.", type="path_refused"
        )
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadArguments(f"{name!r} is larger than {MAX_FILE_BYTES} bytes.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise FunctionFailed(
            f"{name!r} cannot be read: {reason}.", type="file_unreadable"
        ) from None


def _rows(text: str, given: Any) -> list[Row]:
    reader = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""),
        delimiter=_separator(given),
        strict=True,
    )
    convert = _converter(argument(given, "types", default=None))
    try:
        header = next(reader, [])
        _check_header(header)
        return [
            _row(header, cells, convert, reader.line_num) for cells in reader if cells
        ]
    except csv.Error as problem:
        raise FunctionFailed(
            f"Line {reader.line_num} is not CSV: {problem}.", type="bad_csv"
        ) from None


def _check_header(header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise FunctionFailed(
            f"The header has {', '.join(map(repr, twice))} more than once.",
            type="bad_csv",
        )


def _row(
    header: list[str], cells: list[str], convert: Callable[[str, str], Any], line: int
) -> Row:
    if len(cells) != len(header):
        raise FunctionFailed(
            f"Line {line} has {len(cells)} cells, the header {len(header)}.",
            type="bad_csv",
        )
    pairs = zip(header, cells, strict=True)
    try:
        return {column: convert(column, cell) for column, cell in pairs}
    except ValueError as problem:
        raise FunctionFailed(f"Line {line}: {problem}.", type="bad_csv") from None


def _converter(types: Any) -> Callable[[str, str], Any]:
    if types is None:
        return lambda column, cell: cell
    if types == "auto":
        return lambda column, cell: _guess(cell)
    if not isinstance(types, dict) or not all(
        isinstance(kind, str) and kind in _KINDS for kind in types.values()
    ):
        raise BadArguments(f'`types` is "auto" or {{column: {" | ".join(_KINDS)}}}.')
    return lambda column, cell: _convert(column, cell, types.get(column, "text"))


def _convert(column: str, cell: str, kind: str) -> Any:
    if kind == "text":
        return cell
    if not cell.strip():
        return None
    try:
        return _KINDS[kind](cell.strip())
    except (ValueError, KeyError):
        raise ValueError(f"{column!r} holds {cell!r:.60}, not {kind}") from None


def _guess(cell: str) -> Any:
    if not cell.strip():
        return None
    if _CODE.match(cell):
        return cell
    for kind in ("integer", "number", "boolean"):
        try:
            return _KINDS[kind](cell.strip())
        except (ValueError, KeyError):
            continue
    return cell


def _integer(cell: str) -> int:
    if not cell.isascii() or "_" in cell:
        raise ValueError(cell)
    return int(cell)


def _number(cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number) or not cell.isascii() or "_" in cell:
        raise ValueError(cell)
    return number


def _separator(given: Any) -> str:
    separator = argument(given, "separator", str, default=",")
    if len(separator) != 1 or separator in '"\r\n':
        raise BadArguments("`separator` must be one character.")
    return str(separator)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


_KINDS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "integer": _integer,
    "number": _number,
    "boolean": lambda cell: {"true": True, "false": False}[cell.lower()],
}
