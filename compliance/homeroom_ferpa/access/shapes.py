"""What the routes take and answer. A field that is missing or wrong is named in the refusal."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from homeroom import Answer, Body, PageQuery, Query
from homeroom_ferpa.access.directory import Item

Id = Field(min_length=1, max_length=100)
Named = Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
"""Each of a list of parties, purposes or the like: one that says nothing names nobody."""
Records = Literal["attendance", "roster", "contact", "messages", "all"]
PARTY = r"^(person|plugin|key|party|class):[A-Za-z0-9._-]{1,100}$"
CODE = r"^[a-z][a-z0-9_]{0,39}$"


class StudentQuery(Query):
    """Whose."""

    student_id: str = Id


class OrderIn(Body):
    """A court order, statute or binding document that keeps a parent from a student's records."""

    student_id: str = Id
    guardian_id: str = Id
    document: str = Field(min_length=3, max_length=300, description="What the document is and where it is kept.")
    begins_on: date | None = None
    ends_on: date | None = Field(default=None, description="The first day on which it holds no more.")


class ExceptionIn(Body):
    """Why somebody may see records without consent, or why rights have passed before the 18th birthday.

    `parties` are ids of guardians, or codes of others in an emergency; none means either parent.
    """

    kind: Literal["dependent", "emergency", "postsecondary"]
    student_id: str = Id
    document: str = Field(min_length=3, max_length=300)
    parties: list[Named] = Field(default=[], max_length=20)
    threat: str | None = Field(default=None, min_length=3, max_length=2000)
    records: list[Records] = Field(default=["all"], min_length=1)
    begins_on: date | None = None
    ends_on: date | None = None


class StandingOut(Answer):
    """An order or exception on file."""

    id: str
    kind: str
    student_id: str
    party: str | None
    document: str
    threat: str | None
    begins_on: date
    ends_on: date | None
    recorded_by: str | None
    recorded_at: str
    ended_at: str | None
    version: int


class StandingsOut(Answer):
    """What is on file of a student."""

    items: list[StandingOut]


class OfficialIn(Body):
    """A vendor or system that is a school official: nothing of this may be left out (§99.31(a)(1)(i)(B))."""

    recipient: str = Field(
        pattern=r"^(plugin|key|party):[A-Za-z0-9._-]{1,100}$",
        description="A plugin, an API key, or another party that exports and letters go to.",
    )
    service: str = Field(min_length=3, max_length=1000, description="Which of the school's own tasks it does.")
    direct_control: str = Field(min_length=3, max_length=1000, description="How the school controls what it does.")
    redisclosure_limit: str = Field(min_length=3, max_length=1000)
    agreement: str = Field(min_length=3, max_length=300, description="The agreement, and where it is kept.")
    categories: list[Records] = Field(min_length=1, description="The kinds of record that it gets.")
    begins_on: date | None = None
    ends_on: date | None = None


class OfficialOut(Answer):
    """An entry of the register."""

    id: str
    recipient: str
    service: str
    direct_control: str
    redisclosure_limit: str
    agreement: str
    categories: list[str]
    begins_on: date
    ends_on: date | None
    recorded_by: str | None
    recorded_at: str
    ended_at: str | None
    version: int


class OfficialsOut(Answer):
    """The register."""

    items: list[OfficialOut]


class ConsentAsked(Body):
    """A consent as it is sent. What §99.30(b) asks for and is missing or wrong is refused by name, and that is kept."""

    student_id: str = Id
    records: list[str] | None = Field(default=None, max_length=20, description="The kinds of record; required.")
    purpose: str | None = Field(default=None, max_length=100, description="Required.")
    party: str | None = Field(default=None, max_length=200, description="Required; `class:` and a class of parties.")
    text: str | None = Field(default=None, max_length=5000, description="What is approved, word for word; required.")
    signed_by: str | None = Field(default=None, max_length=100, description="Required.")
    signed_on: date | None = Field(default=None, description="Required.")
    authenticated: str | None = Field(
        default=None,
        max_length=40,
        description="Required, how the signer was known: session (the signer sends this), paper, in_person or "
        "electronic_signature.",
    )
    ends_on: date | None = None


class ConsentIn(Body):
    """A consent with everything that §99.30(b) asks for."""

    student_id: str = Id
    records: list[Records] = Field(min_length=1)
    purpose: str = Field(pattern=CODE)
    party: str = Field(pattern=PARTY, description="A party, or `class:` and a class of parties.")
    text: str = Field(min_length=20, max_length=5000, description="What is approved, word for word.")
    signed_by: str = Id
    signed_on: date
    authenticated: Literal["session", "paper", "in_person", "electronic_signature"] = Field(
        description="How the signer was known; `session`: the signer sends this."
    )
    ends_on: date | None = None


class ConsentOut(Answer):
    """A consent on file."""

    id: str
    student_id: str
    records: list[str]
    purpose: str
    party: str
    text: str
    text_hash: str
    signed_by: str
    signed_on: date
    authenticated: str
    ends_on: date | None
    recorded_at: str
    revoked_at: str | None
    version: int


class ConsentsOut(Answer):
    """A student's consents."""

    items: list[ConsentOut]


class PolicyIn(Body):
    """What the district designates as directory information, and to whom it may go."""

    items: list[Item] = Field(max_length=30)
    student_id_opens_nothing: bool = False
    parties: list[Named] | None = Field(default=None, max_length=100, description="A limited policy's parties.")
    purposes: list[Named] | None = Field(default=None, max_length=100, description="A limited policy's purposes.")
    notice_on: date | None = Field(default=None, description="The day on which public notice was given.")
    opt_out_until: date | None = Field(default=None, description="The last day of the opt-out period.")


class PolicyOut(Answer):
    """The policy in force."""

    version: int
    items: list[str]
    parties: list[str] | None
    purposes: list[str] | None
    notice_on: date | None
    opt_out_until: date | None


class ReleaseIn(Body):
    """Who asks for directory information, and for what."""

    party: str = Field(min_length=1, max_length=100)
    purpose: str = Field(min_length=1, max_length=100)
    school_id: str | None = None
    after: str = ""
    limit: int = Field(default=200, ge=1, le=1000)


class DirectoryEntry(Answer):
    """What is released of one student; what the policy does not name is not there."""

    id: str
    name: str | None = None
    school: list[str] | None = None
    grade_level: list[str] | None = None
    email: str | None = None
    telephone: str | None = None
    birth_date: str | None = None
    student_id: str | None = None


class ReleaseOut(Answer):
    """What is released."""

    items: list[DirectoryEntry]


class OptOutIn(Body):
    """Who is not to be listed."""

    student_id: str = Id


class OptOutOut(Answer):
    """Whether a student is kept out of the directory."""

    student_id: str
    opted_out: bool
    version: int


class DisclosureIn(Body):
    """A disclosure that is made outside this system, or is about to be: it is judged and entered.

    `disclosed_text`, for one student, is what was disclosed, for the family to have a copy of.
    """

    student_ids: list[Named] = Field(min_length=1, max_length=500)
    party: str = Field(pattern=PARTY)
    party_class: str | None = Field(default=None, pattern=CODE)
    interest: str = Field(min_length=3, max_length=300)
    purpose: str = Field(pattern=CODE)
    records: list[Records] = Field(min_length=1)
    fields: list[Named] = Field(min_length=1, max_length=100)
    basis: Literal["consent", "official", "directory", "emergency"] | None = None
    threat: str | None = Field(default=None, min_length=3, max_length=2000)
    document: str | None = Field(default=None, min_length=3, max_length=300)
    disclosed_text: str | None = Field(default=None, max_length=10_000)


class DisclosureOut(Answer):
    """The entry, and the notice that goes with what is disclosed."""

    id: str
    basis: str
    notice: str | None


class RedisclosureOut(Answer):
    """To whom a party passed records on."""

    party: str
    interest: str
    disclosed_on: date


class RedisclosureIn(Body):
    """One party to whom records were passed on."""

    party: str = Field(min_length=1, max_length=100)
    interest: str = Field(min_length=3, max_length=300)
    disclosed_on: date


class RedisclosuresIn(Body):
    """What the party has told; nobody is an answer, too."""

    parties: list[RedisclosureIn] = Field(max_length=200)


class LedgerPageQuery(PageQuery):
    """Whose, and which page of it."""

    student_id: str = Id


class LedgerQuery(LedgerPageQuery):
    """The same, and whether also what §99.32 does not ask for."""

    everything: bool = False


class LedgerEntry(Answer):
    """One request or disclosure."""

    id: str
    at: str
    party: str
    via: str | None
    kind: str
    interest: str
    basis: str
    in_record: bool = Field(description="False: not part of the §99.32 record, for the reason in `exempt`.")
    exempt: str | None
    fields: list[str]
    whole_district: bool
    notice: bool
    consent_id: str | None
    threat: str | None
    copy_of_what_was_disclosed: str | None
    inquired_at: str | None
    told_at: str | None
    redisclosures: list[RedisclosureOut]


class LedgerOut(Answer):
    """The record of requests and disclosures, the newest first."""

    items: list[LedgerEntry]
    next: str | None = None
