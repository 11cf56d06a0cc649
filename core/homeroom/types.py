"""What crosses the border between the core and a plugin: small frozen records, nothing with behaviour behind it.

Within one hook API version these only grow, by fields with defaults. Times are aware and in UTC, school days are
dates in the school's own time zone, ids are opaque strings.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal, Self

from quart import Blueprint

Status = Literal["present", "tardy", "absent", "excused"]
"""The four categories that every client may rely on; a district's own codes map to one of them."""

Role = Literal["student", "guardian", "teacher", "substitute", "school_admin", "district_admin", "service"]
"""Who somebody is to the district; one person may hold several, at several schools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAt:
    """One role at one school or at the district; `org_id` is None for a role that holds everywhere."""

    role: Role
    org_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody who has signed in: a person, or an integrator's API key (`kind` "service").

    `session_id` names the sign-in session, which its owner can list and end. `scopes` are those of an API key.
    `without` are students of whom this person is shown nothing, though they are their children: plugins said so.
    """

    subject: str
    kind: Literal["person", "service"] = "person"
    roles: tuple[RoleAt, ...] = ()
    session_id: str | None = None
    scopes: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def has(self, *roles: Role) -> bool:
        """Whether this person holds one of `roles` anywhere."""
        return any(held.role in roles for held in self.roles)

    def orgs(self, role: Role) -> frozenset[str]:
        """Ids of the schools (or the district) where this person holds `role`."""
        return frozenset(held.org_id for held in self.roles if held.role == role and held.org_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What somebody shows to sign in: `kind` "password" has the fields `email` and `password`.

    Reaches only plugins whose scopes name `credentials.KIND`.
    """

    kind: str
    fields: Mapping[str, str] = field(repr=False)
    client: str | None = field(default=None, repr=False)  # the peer's address, for rate limits; never stored

    def for_scopes(self, scopes: frozenset[str]) -> Self | None:
        """These credentials for a plugin that may see them, else None: the plugin is not asked."""
        return self if f"credentials.{self.kind}" in scopes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What `authenticate` answers: which roster person the credentials belong to.

    `refused` says in plain words why a person who was recognised may still not come in (too many attempts, a locked
    account, `second_factor` needed): no further plugin is asked. `retry_after` is in seconds.
    """

    user_id: str | None = None
    refused: str | None = None
    second_factor: bool = False
    retry_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordSet:
    """What `set_password` answers: the password is kept, or `refused` says in plain words why it is not.

    `field` names the one of "password" and "email" that is at fault.
    """

    refused: str | None = None
    field: Literal["password", "email"] = "password"
    retry_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalIdentity:
    """What a single sign-on provider vouches for; accounts are joined by `provider` and `subject`, never by e-mail.

    `email` is given only when the provider has verified it and the plugin's allow-list of domains or tenants holds it;
    it may join a person once, at the first sign-in. `user_sourced_id` is the SIS id where the provider tells it.
    """

    provider: str
    subject: str
    email: str | None = field(default=None, repr=False)
    user_sourced_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInStart:
    """Where the browser goes next; `keep` is sealed by the core and given back at the callback."""

    url: str
    keep: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSession:
    """One meeting of one class that students check in to. `late_after_minutes` counts from `starts_at`."""

    id: str
    class_id: str
    school_id: str
    school_day: date
    starts_at: datetime
    late_after_minutes: int
    methods: tuple[str, ...] = ()
    require: Literal["any", "all"] = "any"
    state: Literal["open", "closed"] = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What the teacher's screen shows now; never a future code.

    `qr` is an SVG picture or None, `link` what it encodes; a phone's own camera app opens it.
    """

    kind: str
    code: str
    expires_at: datetime
    qr: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A student's attempt to check in, at `at` (server time, or `occurred_at` of an offline check-in: `offline`).

    `proof` holds only the parts that the plugin's scopes name: `proof.code` shows it `proof["code"]`.
    """

    session: ClassSession
    student_id: str
    at: datetime
    offline: bool = False
    proof: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def for_scopes(self, scopes: frozenset[str]) -> Self:
        """This attempt with only the parts of its proof that `scopes` name."""
        if all(f"proof.{name}" in scopes for name in self.proof):
            return self
        return replace(self, proof={k: v for k, v in self.proof.items() if f"proof.{k}" in scopes})


class Verdict(enum.Enum):
    """What a verifier says of a proof. REVIEW keeps the record and asks a person to look."""

    ACCEPT = "accept"
    REJECT = "reject"
    REVIEW = "review"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A verifier's judgement; it is stored with the record and shown to staff, so it holds no position and no code.

    `method` names the check-in method ("rotating_code"). `problem` is the end of the error's `type` when `verdict` is
    REJECT: "code-wrong", "code-expired", "proof-missing", "outside-area", "too-many-attempts".
    """

    method: str
    verdict: Verdict
    reason: str = ""
    problem: str | None = None
    retry_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """Who wants to do what with whose data. The core's own rule has already said yes; a plugin can only take away.

    `action` is a name of `homeroom.auth.rules` ("attendance.read", "roster.export", "guardian.notify").
    """

    action: str
    identity: Identity | None
    student_ids: frozenset[str] = frozenset()
    class_id: str | None = None
    purpose: str = "education"
    request_id: str | None = None
    recipient: str | None = None  # a plugin's name when data is handed to one, or a message goes out through one
    fields: tuple[str, ...] = ()  # by name, where they are known beforehand: those of a hand-out to a plugin
    in_part: bool = False  # a hand-out that can do without the students whom the answer names in `without`
    network: str | None = None  # a keyed hash of the network that a request over HTTP came from, never its address


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What `authorize` answers: `allow=False` denies, with a reason fit for an error message.

    `basis` is on what ground it is allowed or denied, for the record. `without` are children to leave out where a
    guardian's request names nobody (a list, a board), or students to leave out of what is handed out `in_part`.
    `notice` (ASCII) goes out with the answer. `lasting` says that whoever does this to their own record alone is
    answered the same as long as the plugin runs: it need not be asked.
    """

    allow: bool
    reason: str = ""
    basis: str | None = None
    without: frozenset[str] = frozenset()
    notice: str | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a read or disclosure: whose records it held, which fields by name, and how many rows.

    `allowed=False` is a denial, by the core's rule or by a plugin; `reason` says why.
    """

    allowed: bool
    student_ids: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()
    rows: int = 0
    basis: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Whose records a plugin may give on to somebody outside, and the redisclosure notice (ASCII) that goes along."""

    students: frozenset[str] = frozenset()
    notice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one address of one family. `id` is the outbox row: the idempotency key, and all a vendor may keep.

    `to` is an E.164 number ("sms") or an address ("email"). `html` says the same as `body`, for e-mail, with its
    language and direction; `sender` is the school's name. After `expires_at` the message is of no use to anybody.
    `attempted_at` is when this attempt began: whatever a vendor took before is not this attempt's.
    Reaches only plugins whose scopes name `message.CHANNEL`.
    """

    id: str
    channel: str  # "sms", "email"
    to: str = field(repr=False)
    subject: str = field(default="", repr=False)
    body: str = field(repr=False)
    html: str = field(default="", repr=False)
    sender: str = ""
    language: str = "en"
    created_at: datetime
    attempted_at: datetime | None = None
    expires_at: datetime | None = None

    def for_scopes(self, scopes: frozenset[str]) -> Self | None:
        """This message for a plugin that serves its channel, else None: the plugin is not asked."""
        return self if f"message.{self.channel}" in scopes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a vendor said of a message.

    `state`: "accepted" (the vendor has it), "delivered", "refused" (never to be tried again on this channel) or
    "retry" (try again, after `retry_after` seconds where the vendor named them).
    """

    state: Literal["accepted", "delivered", "refused", "retry"]
    provider_id: str | None = None
    reason: str = ""
    code: str | None = None
    retry_after: float | None = None
    segments: int | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The vendor was asked and has no such message: it is safe to send it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What a vendor tells of a message after it took it (a status callback, an event webhook).

    The message is named by `message_id` (the outbox row), by `provider_id`, or by both. Reports may come in any order
    and more than once. "failed" means that it will not arrive on this channel.
    """

    state: Literal["accepted", "delivered", "failed"]
    message_id: str | None = None
    provider_id: str | None = None
    reason: str = ""
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressNews:
    """What became known of one address; it holds for that address on that channel, and for none of its owner's others.

    `news`: its owner wants no more ("opted_out"), wants messages again ("opted_in"), or there is none ("unreachable").
    """

    channel: str
    address: str = field(repr=False)
    news: Literal["opted_out", "opted_in", "unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressions:
    """What a vendor keeps of addresses it no longer sends to, from `since` to `until`."""

    items: tuple[AddressNews, ...] = ()
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, in plain words, and what to do about it."""

    problem: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the service behind a plugin can be used now; `detail` and `findings` are for an administrator."""

    ok: bool
    detail: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Pages, webhooks or an API of a plugin.

    `prefix` is `/plugins/NAME`, `/api/v1/WORD` or `/`; the host refuses one already taken and answers 404 below it
    while the plugin is switched off. `uploads` are its rules that take a document, as in "/children/<id>/absence":
    a request there may be larger than `[server] max_body_bytes`.
    """

    prefix: str
    blueprint: Blueprint
    uploads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of the journal: a change that has been committed.

    `id` grows with commit order. `data` holds ids, codes and field names, never names of people or phone numbers.
    """

    id: int
    at: datetime
    kind: str
    actor_id: str | None = None
    class_id: str | None = None
    session_id: str | None = None
    student_id: str | None = None
    subject_id: str | None = None
    purpose: str | None = None
    basis: str | None = None
    request_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """A student as a plugin may see one: a field is None when the plugin's scopes do not name it, or it is unknown.

    The scope of a field is `student.FIELD`; `id` and `school_ids` need none.
    """

    id: str
    school_ids: tuple[str, ...] = ()
    given_name: str | None = None
    family_name: str | None = None
    preferred_name: str | None = None
    grades: tuple[str, ...] | None = None
    identifier: str | None = None
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    birth_date: date | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One attendance record as a plugin may see it (scope `attendance.status`; `note` needs `attendance.note`)."""

    id: str
    session_id: str
    class_id: str
    student_id: str
    school_day: date
    status: Status | None = None
    code: str | None = None
    minutes_late: int | None = None
    recorded_at: datetime | None = None
    note: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A school as reports see it: `day_rule` says when a day counts as attended, `today` is the date there now."""

    id: str
    name: str
    time_zone: str
    day_rule: Mapping[str, Any]
    today: date


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCounts:
    """How many students of a school (or of some classes) have each status on one day; a student counts once."""

    school_day: date
    present: int
    tardy: int
    absent: int
    excused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Days at one school, of those in session: enrolled, and of these attended (tardy too) and missed.

    Enrolled days without a mark that counts are neither. `outside` are days with marks on which the student was not
    enrolled there; they are in none of the others.
    """

    enrolled: int
    attended: int
    absent: int
    excused: int
    outside: int = 0

    @property
    def missed(self) -> int:
        """Days missed for any reason."""
        return self.absent + self.excused

    @property
    def unknown(self) -> int:
        """Enrolled days of which nothing is known."""
        return self.enrolled - self.attended - self.missed


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentDays(Days):
    """One student's days at one school."""

    student_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals(Days):
    """How many students of a grade (their first; None: of none) have exactly these days; it tells not who."""

    students: int
    grade: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """What became of one class's roll on one day.

    `state`: "taken" (every session of the day is closed), "under_way" (one is open in its time), "open" (one was left
    open though it is over) or "none" (there was no session).
    """

    school_day: date
    class_id: str
    title: str
    state: Literal["taken", "under_way", "open", "none"]
    session_id: str | None = None
    starts_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIns:
    """How many check-ins a school had in an hour of its day, by the methods that accepted them, in order of names."""

    hour: int
    methods: tuple[str, ...]
    count: int
