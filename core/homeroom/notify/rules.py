"""The rules of a district and its schools: reading them, and saving a new version of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeroom.notify.settings import RuleSettings, parse
from homeroom.store import Connection, Refused, Transaction, iso, not_found
from homeroom.store import models as m

RULE_OFF = "rule_off"
"""Why a message was cancelled whose rule was switched off before it was sent."""

_WHAT = {"conditions", "of", "statuses", "days", "shares", "within"}
_SWITCHED_OFF = """
UPDATE notifications SET state = 'cancelled', reason = ?, changed_at = ?
WHERE rule_id = ? AND state IN ('waiting', 'held') AND kind <> 'correction' RETURNING id, student_id
"""
_JUDGE_AGAIN = """
UPDATE notification_cases SET state = 'waiting', revision = revision + 1, due_at = ?, changed_at = ?
WHERE (student_id, school_id, school_day) IN (
  SELECT student_id, school_id, school_day FROM notifications
  WHERE rule_id = ? AND state IN ('waiting', 'held') AND student_id IS NOT NULL)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule in one version. `org_id` "" holds at every school; `settings` has every default filled in."""

    id: str
    org_id: str
    kind: str
    title: str
    enabled: bool
    settings: RuleSettings
    version: int = 1
    changed_at: datetime | None = None
    changed_by: str | None = None

    def holds_at(self, school_id: str) -> bool:
        """Whether it is one of this school's."""
        return self.org_id in ("", school_id)

    def tells_as(self, other: Rule) -> bool:
        """Whether both say the same of a student to somebody: of one kind, at one school, under the same conditions."""
        at_one = self.org_id == other.org_id or "" in (self.org_id, other.org_id)
        mine, its = (rule.settings.model_dump(include=_WHAT) for rule in (self, other))
        return (
            self.kind == other.kind
            and at_one
            and mine == its
            and bool(set(self.settings.audience) & set(other.settings.audience))
        )


def rules(connection: Connection, *, org_ids: Iterable[str] | None = None, enabled: bool | None = None) -> list[Rule]:
    """The rules in the order in which they were made; of these orgs only, or only those (not) enabled."""
    table = m.NotificationRule
    query = table.select().order_by(table.id)
    if org_ids is not None:
        query = query.where(table.org_id.in_(sorted(org_ids)))
    if enabled is not None:
        query = query.where(table.enabled == enabled)
    return [_rule(row) for row in connection.all(query)]


def read_rule(connection: Connection, rule_id: str) -> Rule:
    """One rule. Raises Refused 404 when there is none."""
    row = connection.get(m.NotificationRule, rule_id)
    if row is None:
        raise not_found("There is no such rule.")
    return _rule(row)


def version_of(connection: Connection, rule_id: str, version: int) -> Rule | None:
    """A rule as it was in one version, or None."""
    table, now = m.NotificationRuleVersion, connection.get(m.NotificationRule, rule_id)
    row = connection.one(table.select().where((table.rule_id == rule_id) & (table.version == version)))
    if row is None or now is None:
        return None
    return Rule(
        id=rule_id,
        org_id=now.org_id,
        kind=now.kind,
        title=row.title,
        enabled=row.enabled,
        settings=parse(now.kind, row.settings),
        version=version,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
    )


def draft(kind: str, settings: Mapping[str, Any], *, org_id: str = "", title: str = "") -> Rule:
    """A rule that is not saved, for a preview. Raises BadRule."""
    return Rule(id="", org_id=org_id, kind=kind, title=title or kind, enabled=True, settings=parse(kind, settings))


def add_rule(tx: Transaction, rule_id: str, rule: Rule) -> Rule:
    """Keep a new rule under an id that was made before. Raises Refused 422 for a school that there is not."""
    if tx.get(m.NotificationRule, rule_id) is not None:
        return read_rule(tx, rule_id)  # the same unit run again
    if rule.org_id and tx.get(m.Org, rule.org_id) is None:
        raise Refused(422, "invalid", "There is no such school.")
    by = tx.origin.actor_id
    settings = rule.settings.model_dump(mode="json")
    tx.insert(
        m.NotificationRule,
        id=rule_id,
        org_id=rule.org_id,
        kind=rule.kind,
        title=rule.title,
        enabled=rule.enabled,
        settings=settings,
        changed_at=tx.now,
        changed_by=by,
    )
    _keep(tx, rule_id, 1, rule)
    tx.journal("notification.rule_added", subject_id=rule_id, data={"kind": rule.kind, "org_id": rule.org_id})
    return read_rule(tx, rule_id)


def change_rule(
    tx: Transaction,
    rule_id: str,
    *,
    title: str | None = None,
    enabled: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> Rule:
    """The rule with what is given changed, as a new version; nothing is written when nothing differs.

    `version` is the one that was read: Refused 412 when it is no longer the present one. Raises BadRule. What waits to
    be sent by the rule is judged again, or taken back where it is switched off; corrections are sent all the same.
    """
    old = read_rule(tx, rule_id)
    new = Rule(
        id=rule_id,
        org_id=old.org_id,
        kind=old.kind,
        title=old.title if title is None else title,
        enabled=old.enabled if enabled is None else enabled,
        settings=old.settings if settings is None else parse(old.kind, settings),
        version=old.version + 1,
    )
    if (new.title, new.enabled, new.settings) == (old.title, old.enabled, old.settings):
        return old  # also where the same unit is run again
    if version is not None and version != old.version:
        raise Refused(412, "changed-meanwhile", "Somebody has changed this rule meanwhile. Please look again.")
    table = m.NotificationRule
    tx.run(
        table.update(
            title=new.title,
            enabled=new.enabled,
            settings=new.settings.model_dump(mode="json"),
            version=new.version,
            changed_at=tx.now,
            changed_by=tx.origin.actor_id,
        ).where(table.id == rule_id)
    )
    _keep(tx, rule_id, new.version, new)
    if new.enabled:
        tx.write_sql(_JUDGE_AGAIN, (iso(tx.now), iso(tx.now), rule_id))
    else:
        for message_id, student_id in tx.write_sql(_SWITCHED_OFF, (RULE_OFF, iso(tx.now), rule_id)):
            data = {"state": "cancelled", "reason": RULE_OFF}
            tx.journal("notification.cancelled", student_id=student_id, subject_id=message_id, data=data)
    tx.journal("notification.rule_changed", subject_id=rule_id, data={"version": new.version, "enabled": new.enabled})
    return read_rule(tx, rule_id)


def _keep(tx: Transaction, rule_id: str, version: int, rule: Rule) -> None:
    tx.insert(
        m.NotificationRuleVersion,
        rule_id=rule_id,
        version=version,
        title=rule.title,
        enabled=rule.enabled,
        settings=rule.settings.model_dump(mode="json"),
        changed_at=tx.now,
        changed_by=tx.origin.actor_id,
    )


def _rule(row: m.NotificationRule) -> Rule:
    return Rule(
        id=row.id,
        org_id=row.org_id,
        kind=row.kind,
        title=row.title,
        enabled=row.enabled,
        settings=parse(row.kind, row.settings),
        version=row.version,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
    )
