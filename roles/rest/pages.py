"""Lists page by page: cursors stay right while rows come and go."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination


class NewestFirst(CursorPagination):
    """Pages in the order of ids, which grow with time."""

    ordering: Any = ("-id",)
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"

    def decode_cursor(self, request: Any) -> Cursor | None:
        """Refuse a forged cursor before the database has to."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            self._check(str(cursor.position))
        return cursor

    def _check(self, position: str) -> None:
        try:
            UUID(position)
        except ValueError:
            raise NotFound(self.invalid_cursor_message) from None


class LatestFirst(NewestFirst):
    """Pages in the order of ids that are numbers."""

    def _check(self, position: str) -> None:
        if not (position.isascii() and position.isdigit() and len(position) < 19):
            raise NotFound(self.invalid_cursor_message)


class ByName(NewestFirst):
    """Pages in the order of names."""

    ordering: Any = ("name", "id")

    def _check(self, position: str) -> None:
        if "\0" in position:
            raise NotFound(self.invalid_cursor_message)


class ByKey(ByName):
    """Pages in the order of keys."""

    ordering: Any = ("key",)
