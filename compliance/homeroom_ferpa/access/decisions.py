"""The decision itself, without a database: from a request and what is on file to yes or no, on which ground and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from homeroom import AccessRequest, Decision
from homeroom_ferpa.access.facts import Child, Party

STAFF = "99.31(a)(1)(i)(A)"
VENDOR = "99.31(a)(1)(i)(B)"
OWN = "99.10"
ORDER = "99.4"
PASSED = "99.5(a)"
CONSENT = "99.30"
NO_GROUND = "99.30(a)"
EXCEPTIONS: Mapping[str, str] = {"dependent": "99.31(a)(8)", "emergency": "99.31(a)(10)"}

RECORDS = ("attendance", "roster", "contact", "messages", "all")
"""The kinds of record that a consent or an agreement can name."""

MESSAGES = ("guardian.notify", "staff.notify")
"""The actions of a message that is about to leave, to a family or to staff."""

_BY_FIELD: Mapping[str, str] = {
    **dict.fromkeys(("given_name", "family_name", "preferred_name", "grades", "identifier", "birth_date"), "roster"),
    **dict.fromkeys(("middle_name", "preferred_given_name", "preferred_family_name", "username"), "roster"),
    **dict.fromkeys(("roles", "agents", "enabled"), "roster"),
    **dict.fromkeys(("email", "phone"), "contact"),
    **dict.fromkeys(("status", "code", "minutes_late", "recorded_at", "note"), "attendance"),
}
_BY_ACTION: Mapping[str, str] = {
    **dict.fromkeys(("attendance", "absence", "session", "school", "emergency"), "attendance"),
    **dict.fromkeys(("student", "class", "roster", "enrollment"), "roster"),
    "guardian": "contact",
}

_RESTED_ON = re.compile(r"(?:99\.30|99\.31\(a\)\((?:8|10)\)):[^:,]+")

_ORDER_SAYS = "A court order or another binding document on file keeps you from this student's records."
_PASSED_SAYS = (
    "These rights have passed to the student, who is 18 or attends a postsecondary school. "
    "Ask the student for consent, or your office which exceptions there are."
)
_PARTY_SAYS = "This recipient is not on file as a school official for these records, and nobody consented to it."
_PURPOSE_SAYS = "This purpose is not among those that the district has named."
_NOBODY_SAYS = "Nobody is named to whom this would be disclosed, so it is denied."


def records_of(request: AccessRequest) -> frozenset[str]:
    """The kinds of record that a request is about; "all" where it cannot be told.

    What a plugin gives on to somebody outside is named by the kinds of its events ("attendance.recorded").
    """
    if request.fields:
        return frozenset(_BY_FIELD.get(field) or _of_kind(field) for field in request.fields)
    if request.action in MESSAGES:
        return frozenset({"messages"})
    if request.action == "class.watch":
        return frozenset({"attendance"})
    return frozenset({_of_kind(request.action)})


def covers(categories: Collection[str], records: Collection[str]) -> bool:
    """Whether an agreement for these categories is one for these kinds of record."""
    return "all" in categories or set(records) <= set(categories)


def wrong_purpose() -> Decision:
    """The denial of a purpose that nobody knows."""
    return Decision(allow=False, reason=_PURPOSE_SAYS, basis="99.31(a)(1)")


def nobody() -> Decision:
    """The denial of a disclosure to nobody in particular."""
    return Decision(allow=False, reason=_NOBODY_SAYS, basis=NO_GROUND)


def for_party(request: AccessRequest, on_file: Party, notice: str) -> Decision:
    """What a vendor or another system may be given: as a school official, or with everybody's consent.

    What can be handed out in part leaves out those without one.
    """
    wanted = records_of(request)
    if on_file.official is not None and covers(on_file.categories, wanted):
        return Decision(allow=True, basis=f"{VENDOR}:{on_file.official}", notice=notice)
    covering = {c.student_id: c.id for c in on_file.consents if c.covers(wanted, request.purpose)}
    with_consent = request.student_ids & covering.keys()
    if with_consent and (request.in_part or with_consent == request.student_ids):
        ids = sorted({covering[student] for student in with_consent})
        without = request.student_ids - with_consent
        return Decision(allow=True, basis=f"{CONSENT}:{','.join(ids)}", notice=notice, without=without)
    return Decision(allow=False, reason=_PARTY_SAYS, basis=NO_GROUND)


def for_family(request: AccessRequest, children: Mapping[str, Child], *, everywhere: bool = False) -> Decision:
    """What a guardian may see: everything of the own children, but for orders and rights that have passed.

    A child whom the guardian reaches as staff is judged by that; `everywhere` is for one who so reaches everybody. A
    request that names nobody is narrowed.
    """
    wanted = records_of(request)
    if everywhere:
        return Decision(allow=True, basis=STAFF)
    if not request.student_ids:
        found = {child.id: _of(child, wanted, request.purpose) for child in children.values()}
        hidden = (student_id for student_id, decision in found.items() if not decision.allow)
        shown = (found[student_id].basis for student_id in sorted(found) if found[student_id].allow)
        return Decision(allow=True, basis=_joined([OWN, *shown]), without=frozenset(hidden))
    bases: list[str | None] = []
    for student_id in sorted(request.student_ids & children.keys()):
        decision = _of(children[student_id], wanted, request.purpose)
        if not decision.allow:
            return decision
        bases.append(decision.basis)
    return Decision(allow=True, basis=_joined(bases) or STAFF)


def after_transfer(child: Child, wanted: Collection[str], purpose: str) -> str | None:
    """On what a parent is shown this of a student to whom the rights have passed: an exception or the own consent."""
    for kind, key in child.exceptions:
        return f"{EXCEPTIONS[kind]}:{key}"
    for consent in child.consents:
        if consent.covers(wanted, purpose):
            return f"{CONSENT}:{consent.id}"
    return None


def rested_on(basis: str | None) -> list[str]:
    """The consents and exceptions on which a person was shown something, each with its ground ("99.30:ID")."""
    return _RESTED_ON.findall(basis or "")


def _of_kind(dotted: str) -> str:
    """The kind of record that an action or an event is about."""
    return _BY_ACTION.get(dotted.partition(".")[0], "all")


def _of(child: Child, wanted: Collection[str], purpose: str) -> Decision:
    """Of one child. An order beats every exception and consent."""
    if child.as_staff:
        return Decision(allow=True, basis=STAFF)
    if child.order is not None:
        return Decision(allow=False, reason=_ORDER_SAYS, basis=f"{ORDER}:{child.order}")
    if child.passed is None:
        return Decision(allow=True, basis=OWN)
    basis = after_transfer(child, wanted, purpose)
    return Decision(allow=basis is not None, reason="" if basis else _PASSED_SAYS, basis=basis or PASSED)


def _joined(bases: Iterable[str | None]) -> str | None:
    """One basis of several: the first that rests on nothing on file, then those that do ("99.10:99.30:ID")."""
    found = tuple(dict.fromkeys(basis for basis in bases if basis))
    plain = next((basis for basis in found if ":" not in basis), "")
    return ":".join(filter(None, (plain, ",".join(basis for basis in found if ":" in basis)))) or None
