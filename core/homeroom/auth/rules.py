"""Who may do what with whose data: one line per action, and nothing is allowed that stands in no line.

Routes name an action (`homeroom.api.operation`), lists and searches narrow themselves by it (`homeroom.auth.access`),
and tests/security/test_access_matrix.py tries every role on every line.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from homeroom.types import Role


class Reach(enum.Enum):
    """Whose data a role reaches with an action."""

    NONE = "nobody's: the role may not do this at all"
    SELF = "one's own"
    CHILDREN = "one's own children's"
    CLASSES = "that of the classes one teaches now"
    STAND_IN = "that of the class in which one stands in today, and of today alone"
    WORKPLACE = "that of the schools one works at"
    SCHOOLS = "that of the schools one administers"
    DISTRICT = "everybody's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One action's line: the reach of each role, and the scope that an API key needs (None: no key may).

    `whole_class` lets SELF and CHILDREN name a class in which they or their children sit: the answer then holds nothing
    of other students, or is narrowed with `records_within`. `former` also reaches students who have left the class.
    `anyone` is for every person who has signed in, whatever the role; API keys need the scope all the same.
    """

    reach: Mapping[Role, Reach] = field(default_factory=dict)
    scope: str | None = None
    whole_class: bool = False
    former: bool = False
    anyone: bool = False

    def of(self, role: Role) -> Reach:
        """How far `role` reaches; NONE where the line does not name it."""
        return self.reach.get(role, Reach.NONE)


_DISTRICT: Mapping[Role, Reach] = {"district_admin": Reach.DISTRICT}
_OFFICE: Mapping[Role, Reach] = {**_DISTRICT, "school_admin": Reach.SCHOOLS}
_STAFF: Mapping[Role, Reach] = {**_OFFICE, "teacher": Reach.CLASSES}
_ROOM: Mapping[Role, Reach] = {"substitute": Reach.STAND_IN}
_ON_SITE: Mapping[Role, Reach] = {**_OFFICE, "teacher": Reach.WORKPLACE}
_FAMILY: Mapping[Role, Reach] = {"student": Reach.SELF, "guardian": Reach.CHILDREN}
_ALL: Mapping[Role, Reach] = {**_STAFF, **_FAMILY}


def _rule(
    *roles: Mapping[Role, Reach], key: str | None = None, whole_class: bool = False, former: bool = False
) -> Rule:
    """The line of an action for `roles`, and for API keys with the scope `key`, which reach the whole district."""
    service: Mapping[Role, Reach] = {"service": Reach.DISTRICT} if key else {}
    reach = {role: far for some in (*roles, service) for role, far in some.items()}
    return Rule(reach=reach, scope=key, whole_class=whole_class, former=former)


RULES: Mapping[str, Rule] = {
    # classes and who is in them
    "class.read": _rule(_ALL, _ROOM, key="roster.read", whole_class=True),
    "class.list": _rule(_ALL, _ROOM, key="roster.read", whole_class=True),
    "class.create": _rule(_OFFICE, key="roster.write"),
    "class.edit": _rule(_OFFICE, key="roster.write"),
    "class.roster": _rule(_STAFF, _ROOM, key="roster.read"),
    "class.watch": _rule(_ALL, _ROOM, key="attendance.read", whole_class=True),
    "student.read": _rule(_ALL, key="roster.read"),
    "student.search": _rule(_ALL, key="roster.read"),
    "student.create": _rule(_OFFICE, key="roster.write"),
    "student.edit": _rule(_OFFICE, key="roster.write"),
    "enrollment.edit": _rule(_OFFICE, key="roster.write", former=True),  # who comes back is enrolled anew
    "roster.export": _rule(_OFFICE, key="roster.read"),
    "substitute.manage": _rule(_STAFF),
    # a school as a whole
    "school.list": _rule(_ON_SITE, key="roster.read"),
    "school.rolls": _rule(_OFFICE, key="attendance.read"),
    "school.attendance": _rule(_OFFICE, key="attendance.read"),
    "emergency.manage": _rule(_OFFICE),
    "emergency.account": _rule(_ON_SITE),  # everybody on the grounds looks for everybody (34 CFR 99.36)
    # sessions
    "session.open": _rule(_STAFF, _ROOM),
    "session.read": _rule(_ALL, _ROOM, key="attendance.read", whole_class=True),
    "session.close": _rule(_STAFF, _ROOM),
    "session.challenge": _rule({"teacher": Reach.CLASSES}, _ROOM),
    # attendance
    "attendance.check_in": _rule({"student": Reach.SELF}, whole_class=True),
    "attendance.mark": _rule(_STAFF, _ROOM, key="attendance.write"),
    "attendance.correct": _rule(_STAFF, key="attendance.write", former=True),
    "attendance.read": _rule(_ALL, _ROOM, key="attendance.read", whole_class=True, former=True),
    "attendance.history": _rule(_ALL, key="attendance.read", former=True),
    "attendance.stats": _rule(_ALL, key="attendance.read", former=True),
    "absence.report": _rule(_OFFICE, {"guardian": Reach.CHILDREN}),
    "absence.read": _rule(_ALL, key="attendance.read"),
    "absence.decide": _rule(_STAFF),
    "absence.document": _rule(_STAFF, _FAMILY),  # whoever decides, and the family: no API key
    "codes.read": Rule(anyone=True, scope="attendance.read"),
    "codes.edit": _rule(_OFFICE),
    # messages and who is told; what the core does itself for a message or a plugin has no route
    "guardian.notify": _rule(_OFFICE),
    "staff.notify": _rule(),
    "guardian.read": _rule(_OFFICE),
    "guardian.edit": _rule(_OFFICE),
    "guardian.contact": _rule(_OFFICE),
    "notify.read": _rule(_OFFICE),
    "notify.manage": _rule(_OFFICE),
    "notify.own": Rule(anyone=True),
    "data.handed_out": _rule(),
    # the law: what a plugin such as ferpa serves
    "compliance.manage": _rule(_DISTRICT),
    "compliance.read": _rule(_OFFICE),
    "compliance.family": _rule(_OFFICE, _FAMILY, former=True),
    # what a plugin such as reports counts
    "reports.read": _rule(_STAFF, key="attendance.read"),
    "reports.school": _rule(_OFFICE, key="attendance.read"),
    # the tablets at the doors: what a plugin such as kiosk serves
    "kiosk.manage": _rule(_OFFICE),
    # running the place
    "plugins.manage": _rule(_DISTRICT),
    "sync.manage": _rule(_DISTRICT, key="sync"),
    "sync.review": _rule(_DISTRICT),  # what it would change about people, and the questions it leaves
    "users.manage": _rule(_DISTRICT),
    "monitor": _rule(_DISTRICT, key="monitor"),
    "account.self": Rule(anyone=True),
}

SCOPES = frozenset(rule.scope for rule in RULES.values() if rule.scope)
"""Every scope that an API key can be given."""
