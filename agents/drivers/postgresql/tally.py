"""Counts of rows that belong to the backup and not to some moment before it: what a restore is compared by must be true.

A logical dump's rows are counted in its own snapshot.  Of a physical backup, which is as the cluster was at its end, those
tables are kept that nobody changed from the plan until then.
"""

from __future__ import annotations

from typing import Any, Final

from agents.drivers.base import BackupPlan
from agents.drivers.postgresql.counts import Relation, count_name, count_rows
from agents.drivers.postgresql.psql import Psql
from contracts.errors import RunFailed

RECOUNT_BUDGET_S: Final = 10.0
"""For counting once more in one database what took `counts.COUNT_BUDGET_S` at most."""
_SESSIONS: Final = 3
"""One for the snapshot, one for the dump, one that counts."""
# Rows written so far: tells a table that was changed and has as many rows as before.  Always 0 on a replica.
_CHURN: Final = """
SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname,
         pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_deleted(c.oid))), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""

Churn = dict[Relation, int]


class Tally:
    """The counts of one backup's inventory, which it corrects."""

    def __init__(self, plan: BackupPlan) -> None:
        self.sessions: Final = _SESSIONS * plan.parallel
        """Of our role, while rows are counted."""
        self._inventory: Any = plan.inventory
        self._listed: dict[str, list[dict[str, Any]]] = {
            database["name"]: database["objects"]["tables"]
            for database in self._inventory["databases"]
            if database["objects"]
        }
        self._churn: dict[str, Churn] = {}

    @property
    def databases(self) -> list[str]:
        return list(self._listed)

    def counted(self, database: str) -> list[Relation]:
        """The tables whose rows the inventory states, in the order to count them in."""
        tables = [table for table in self._listed.get(database, []) if "rows" in table]
        return [(table["schema"], table["name"]) for table in sorted(tables, key=lambda table: int(table["bytes"]))]

    def set_rows(self, database: str, rows: dict[Relation, int]) -> None:
        """These counts are right; those of the database's other tables are not known any more."""
        for table in self._listed.get(database, []):
            relation = (table["schema"], table["name"])
            if "rows" not in table:
                continue
            name = count_name(database, *relation)
            if relation in rows:
                table["rows"] = rows[relation]
                if name in self._inventory["counts"]:
                    self._inventory["counts"][name] = rows[relation]
            else:
                del table["rows"]
                self._inventory["counts"].pop(name, None)

    async def begin(self, psql: Psql) -> None:
        """Notes how much was written to the tables until now."""
        for database in self.databases:
            self._churn[database] = await _look_at_churn(psql, database)

    async def keep_unchanged(self, psql: Psql) -> None:
        """Forgets the counts of tables that were changed since the plan was made."""
        for database in self.databases:
            before = {(table["schema"], table["name"]): table["rows"] for table in self._listed[database] if "rows" in table}
            after = await count_rows(psql, database, self.counted(database), budget_s=RECOUNT_BUDGET_S)
            churn = await _look_at_churn(psql, database)
            same = {
                relation: rows
                for relation, rows in after.items()
                if before[relation] == rows and churn.get(relation) == self._churn[database].get(relation)
            }
            self.set_rows(database, same)


async def _look_at_churn(psql: Psql, database: str) -> Churn:
    try:
        rows = await psql.query(
            _CHURN, list[tuple[str, str, int]], f"looking what was written in {database!r}", database=database
        )
    except RunFailed:
        return {}
    return {(schema, name): written for schema, name, written in rows}
