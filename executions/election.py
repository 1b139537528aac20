"""Which reconciler is at work: the one that holds an advisory lock in PostgreSQL."""

from __future__ import annotations

from typing import LiteralString

LOCK = 0x636F7265  # "core": any number that nobody else takes as an advisory lock

# An expression of one parameter, `lock`: whether any session of this database has it.
IS_HELD: LiteralString = """EXISTS (
  SELECT 1 FROM pg_locks held
  WHERE held.locktype = 'advisory' AND held.granted AND held.classid = 0
    AND held.objid = %(lock)s AND held.objsubid = 1 AND held.database = (
      SELECT here.oid FROM pg_database here WHERE here.datname = current_database()))
"""
