"""Migrated databases of PostgreSQL that one test hands on to the next: emptying costs a tenth of making one."""

from __future__ import annotations

import contextlib

import psycopg

from tests.services import postgres
from tests.services.run import once

_FREE: list[str] = []
_LEDGER = "migrations_core"

# Whatever a test may have changed but rows. A database that differs from a new one in any of it is not used again.
_SHAPE = f"""
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
  SELECT concat('class ', relname, relkind, relacl, relrowsecurity, relpersistence) AS line FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat('column ', c.relname, '.', a.attname, a.attnum, format_type(a.atttypid, a.atttypmod),
      a.attnotnull, a.attisdropped, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND
      d.adnum = a.attnum WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
  UNION ALL SELECT concat('index ', indexdef) FROM pg_indexes WHERE schemaname = 'public'
  UNION ALL SELECT concat('trigger ', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT concat('constraint ', conrelid::regclass, pg_get_constraintdef(oid), convalidated) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT concat('function ', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT concat('schema ', nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'
  UNION ALL SELECT concat('setting ', setrole, setconfig) FROM pg_db_role_setting s JOIN pg_database d
    ON d.oid = s.setdatabase WHERE d.datname = current_database()
  UNION ALL SELECT concat('migration ', m) FROM {_LEDGER} m
) AS shape"""  # noqa: S608 - a name of ours

_EMPTY = f"""
DO $$
DECLARE
  one record;
BEGIN
  FOR one IN SELECT oid, oid::regclass AS name, relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> '{_LEDGER}'
  LOOP
    IF NOT one.relname = ANY (string_to_array(current_setting('pool.tables'), ',')) THEN
      EXECUTE format('DROP TABLE %s CASCADE', one.name);
    ELSIF pg_relation_size(one.oid) > 1000000 THEN
      EXECUTE format('TRUNCATE %s CASCADE', one.name);
    ELSIF pg_relation_size(one.oid) > 0 THEN
      EXECUTE format('DELETE FROM %s', one.name);
    END IF;
  END LOOP;
  FOR one IN SELECT format('%I', sequencename)::regclass AS name FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL AND sequencename <> '{_LEDGER}_id_seq'
  LOOP
    PERFORM setval(one.name, 1, false);
  END LOOP;
END $$"""  # noqa: S608 - names of ours


def take() -> str:
    """The URL of a migrated database without any row. Raises NotHere."""
    return _FREE.pop() if _FREE else postgres.new_database()


def give_back(url: str) -> None:
    """Empty it for the next test; one that cannot be made like a new one is dropped."""
    with contextlib.suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
        if _is_emptied(connection):
            _FREE.append(url)
            return
    postgres.drop_database(url)


def drop_free() -> None:
    """Drop what is left at the end."""
    while _FREE:
        postgres.drop_database(_FREE.pop())


def _is_emptied(connection: psycopg.Connection) -> bool:
    tables, shape = once("postgres-shape", _of_a_new_one).split(";")
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
    connection.execute(f"{others} AND pid <> pg_backend_pid()")
    connection.execute("SET session_replication_role = replica")  # neither foreign keys nor triggers matter now
    connection.execute("SELECT set_config('pool.tables', %s, false)", (tables,))
    connection.execute(_EMPTY)
    return _shape(connection) == shape


def _of_a_new_one() -> str:
    """The names of the tables of a database that nobody has used, and what tells its shape."""
    url = postgres.new_database()
    with psycopg.connect(url) as connection:
        names = "SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public'"
        row = connection.execute(names).fetchone()
        shape = _shape(connection)
    postgres.drop_database(url)
    assert row is not None
    return f"{row[0]};{shape}"


def _shape(connection: psycopg.Connection) -> str:
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return str(row[0])
