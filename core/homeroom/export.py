"""The way out: a whole district as a OneRoster 1.2 CSV bundle, with its attendance as CSV beside it.

The bundle can be read by any OneRoster consumer, this one's connector included. OneRoster has no place for attendance,
so `attendance.csv`, `attendanceVersions.csv`, `attendanceCodes.csv` and `absenceReports.csv` are plain tables whose ids
are those of the bundle. Everything is in clear: guard it. A notice on further disclosure lies beside the files.
A guardian who may not see a student's records is not named with that student, for nothing in OneRoster would tell the
receiver of the order; a sync does not take that for the end of the guardianship.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import IO, Any

import orjson
from peewee import Database

from homeroom import gate
from homeroom.roster.people import shut_out
from homeroom.store import ORIGIN, Store
from homeroom.store.cipher import Cipher
from homeroom.store.connection import Connection, Transaction, now_utc
from homeroom.store.errors import StoreError
from homeroom.store.snapshot import batches, snapshot
from homeroom.types import AccessRequest

EXPORTED = "data.exported"

NOTICE_FILE = "NOTICE.txt"
NOTICE = """\
This holds personal information from education records. Whoever receives it may use it only for the purpose for which
it was disclosed, and may not disclose it to any other party without the consent of the parents or of the eligible
student (34 CFR 99.33).
"""
"""What lies beside the files, so that it goes wherever they go."""

Progress = Callable[[str, int, int | None], None]
Row = Sequence[Any]

_COLUMNS = {
    "orgs.csv": "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId",
    "academicSessions.csv": "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear",
    "courses.csv": "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,"
    "subjects,subjectCodes",
    "classes.csv": "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,"
    "schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods",
    "users.csv": "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,"
    "identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,resourceSourcedIds,"
    "preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns",
    "roles.csv": "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,"
    "userProfileSourcedId",
    "demographics.csv": "sourcedId,status,dateLastModified,birthDate,sex,americanIndianOrAlaskaNative,asian,"
    "blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,demographicRaceTwoOrMoreRaces,"
    "hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,publicSchoolResidenceStatus",
    "enrollments.csv": "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,"
    "beginDate,endDate",
    "attendance.csv": "recordId,sessionId,classSourcedId,schoolSourcedId,schoolDay,startsAt,studentSourcedId,status,"
    "code,minutesLate,needsReview,origin,occurredAt,recordedAt,recordedBySourcedId,note,reason,version,validFrom",
    "attendanceVersions.csv": "recordId,version,sessionId,classSourcedId,schoolDay,studentSourcedId,status,code,"
    "minutesLate,needsReview,origin,recordedBySourcedId,note,reason,validFrom,validTo",
    "attendanceCodes.csv": "orgSourcedId,code,title,status,edfiCategory,needsDocument,retired,forFamilies",
    "absenceReports.csv": "reportId,studentSourcedId,firstDay,lastDay,code,reason,state,reportedBySourcedId,"
    "reportedAt,decidedBySourcedId,decidedAt",
    "absenceDocuments.csv": "documentId,reportId,studentSourcedId,kind,size,sentBySourcedId,sentAt,contentBase64",
}
_ONEROSTER = ("academicSessions", "classes", "courses", "demographics", "enrollments", "orgs", "roles", "users")
_NOT_OURS = (
    "categories",
    "classResources",
    "courseResources",
    "lineItemLearningObjectiveIds",
    "lineItemScoreScales",
    "lineItems",
    "resources",
    "resultLearningObjectiveIds",
    "resultScoreScales",
    "results",
    "scoreScales",
    "userProfiles",
    "userResources",
)
_ROLES = {"substitute": "teacher", "school_admin": "siteAdministrator", "district_admin": "districtAdministrator"}


def export(url: str, cipher: Cipher, path: Path, *, progress: Progress | None = None) -> dict[str, int]:
    """Write the district at `url` to `path`, a new folder or a new `.zip`; gives the rows of each file.

    Raises StoreError when `path` exists already.
    """
    if path.exists():
        raise StoreError(f"{path} exists already; an export never overwrites anything")
    rows: dict[str, int] = {}
    with snapshot(url) as database, _destination(path) as create:
        district = _District(database, cipher)
        with create(NOTICE_FILE) as out:
            out.write(NOTICE)
        for name, lines in district.files():
            with create(name) as out:
                writer = csv.writer(out, lineterminator="\r\n")
                writer.writerow(_COLUMNS[name].split(",") if name in _COLUMNS else ("propertyName", "value"))
                rows[name] = 0
                for line in lines:
                    writer.writerow(["" if value is None else _text(value) for value in line])
                    rows[name] += 1
                    if progress and rows[name] % 1000 == 0:
                        progress(name, rows[name], None)
    return rows


class _Names:
    """What each row is called outside: the source's id where it has one that is unique, else our own."""

    def __init__(self, rows: Iterable[tuple[str, str | None]]) -> None:
        self._names: dict[str, str] = {}
        taken: set[str] = set()
        for own, sourced in rows:
            name = sourced if sourced and sourced not in taken else own
            taken.add(name)
            self._names[own] = name

    def __getitem__(self, own: str | None) -> str:
        return self._names.get(own, own) if own else ""


class _District:
    """The district, file by file."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._connection = Connection(database, cipher)
        self._orgs, self._terms, self._courses, self._classes, self._users = (
            _Names(self._rows(f"SELECT id, sourced_id FROM {table} ORDER BY id"))  # noqa: S608 - constants
            for table in ("orgs", "academic_sessions", "courses", "classes", "users")
        )

    def files(self) -> Iterator[tuple[str, Iterable[Row]]]:
        """Every file's name and lines, without their headers."""
        yield "manifest.csv", self._manifest()
        yield "orgs.csv", self._org_lines()
        yield "academicSessions.csv", self._term_lines()
        yield "courses.csv", self._course_lines()
        yield "classes.csv", self._class_lines()
        yield "users.csv", self._user_lines()
        yield "roles.csv", self._role_lines()
        yield "demographics.csv", self._demographic_lines()
        yield "enrollments.csv", self._enrollment_lines()
        yield "attendance.csv", self._attendance_lines()
        yield "attendanceVersions.csv", self._version_lines()
        yield "attendanceCodes.csv", self._code_lines()
        yield "absenceReports.csv", self._report_lines()
        yield "absenceDocuments.csv", self._document_lines()

    def _rows(self, select: str) -> Iterator[Any]:
        for batch in batches(self._database, select):
            yield from batch

    def _manifest(self) -> Iterator[Row]:
        yield "manifest.version", "1.0"
        yield "oneroster.version", "1.2"
        modes = {**dict.fromkeys(_ONEROSTER, "bulk"), **dict.fromkeys(_NOT_OURS, "absent")}
        for name in sorted(modes):
            yield f"file.{name}", modes[name]
        yield "source.systemName", "Homeroom"
        yield "source.systemCode", "homeroom"

    def _org_lines(self) -> Iterator[Row]:
        for id_, name, kind, identifier, parent in self._rows(
            "SELECT id, name, kind, identifier, parent_id FROM orgs ORDER BY id"
        ):
            yield self._orgs[id_], "", "", name, kind, identifier, self._orgs[parent]

    def _term_lines(self) -> Iterator[Row]:
        for id_, title, kind, begins, ends, parent, year in self._rows(
            "SELECT id, title, kind, begins_on, ends_on, parent_id, school_year FROM academic_sessions ORDER BY id"
        ):
            yield self._terms[id_], "", "", title, kind, begins, ends, self._terms[parent], year

    def _course_lines(self) -> Iterator[Row]:
        for id_, title, code, org in self._rows("SELECT id, title, code, org_id FROM courses ORDER BY id"):
            yield self._courses[id_], "", "", "", title, code, "", self._orgs[org], "", ""

    def _class_lines(self) -> Iterator[Row]:
        terms: dict[str, list[str]] = defaultdict(list)
        for class_id, term_id in self._rows("SELECT class_id, term_id FROM class_terms ORDER BY class_id, term_id"):
            terms[class_id].append(self._terms[term_id])
        for id_, title, course, code, kind, school, periods in self._rows(
            "SELECT id, title, course_id, code, kind, school_id, periods FROM classes ORDER BY id"
        ):
            names = (self._courses[course], code, kind, "", self._orgs[school], ",".join(sorted(terms[id_])))
            yield self._classes[id_], "", "", title, "", *names, "", "", _listed(periods)

    def _user_lines(self) -> Iterator[Row]:
        agents = self._agents()
        contacts = self._contacts()
        homes = self._homes()
        for id_, username, given, family, middle, identifier, grades, nick, last, enabled, ended in self._rows(
            "SELECT id, username, given_name, family_name, middle_name, identifier, grades, preferred_given_name, "
            "preferred_family_name, enabled, ended FROM users ORDER BY id"
        ):
            of = {kind: self._connection.unseal_for(id_, sealed) for kind, sealed in contacts.get(id_, {}).items()}
            yield (
                *(self._users[id_], "", "", bool(enabled and not ended), username, "", given, family, middle),
                *(identifier, of.get("email"), of.get("sms"), of.get("phone"), ",".join(sorted(agents[id_]))),
                *(_listed(grades), "", "", "", nick, "", last, homes.get(id_, ""), ""),
            )

    def _agents(self) -> dict[str, list[str]]:
        """The guardians of each student: OneRoster cannot say that one is kept out, so those who are stay unnamed."""
        agents: dict[str, list[str]] = defaultdict(list)
        for student, guardian in self._rows(
            "SELECT student_id, guardian_id FROM guardianships "  # noqa: S608 - a condition of ours
            f"WHERE NOT ended AND NOT {shut_out(now_utc().date())} ORDER BY student_id, guardian_id"
        ):
            agents[student].append(self._users[guardian])
        return agents

    def _contacts(self) -> dict[str, dict[str, str]]:
        contacts: dict[str, dict[str, str]] = defaultdict(dict)
        for person, kind, value in self._rows(
            "SELECT user_id, kind, value FROM contacts WHERE ends_on IS NULL ORDER BY user_id, kind, id"
        ):
            contacts[person].setdefault(kind, value)
        return contacts

    def _homes(self) -> dict[str, str]:
        homes: dict[str, str] = {}
        for person, org in self._rows(
            'SELECT user_id, org_id FROM role_assignments ORDER BY user_id, "primary" DESC, org_id'
        ):
            if org:
                homes.setdefault(person, self._orgs[org])
        return homes

    def _role_lines(self) -> Iterator[Row]:
        everywhere = next((row[0] for row in self._rows("SELECT id FROM orgs WHERE kind = 'district' ORDER BY id")), "")
        for person, role, org, primary, begins, ends in self._rows(
            'SELECT user_id, role, org_id, "primary", begins_on, ends_on FROM role_assignments '
            "ORDER BY user_id, role, org_id"
        ):
            user, where = self._users[person], self._orgs[org or everywhere]
            kind = "primary" if primary else "secondary"
            yield f"{user}:{role}:{where}", "", "", user, kind, _ROLES.get(role, role), begins, ends, where, ""

    def _demographic_lines(self) -> Iterator[Row]:
        for id_, born in self._rows("SELECT id, birth_date FROM users WHERE birth_date IS NOT NULL ORDER BY id"):
            yield self._users[id_], "", "", born, *[""] * 12

    def _enrollment_lines(self) -> Iterator[Row]:
        for id_, sourced, class_id, school, person, role, primary, begins, ends, ended, changed in self._rows(
            'SELECT e.id, e.sourced_id, e.class_id, c.school_id, e.user_id, e.role, e."primary", e.begins_on, '
            "e.ends_on, e.ended, e.changed_at FROM enrollments e JOIN classes c ON c.id = e.class_id ORDER BY e.id"
        ):
            # A bulk file cannot say that a row has ended, but an enrollment has an end day.
            end = ends or (str(changed)[:10] if ended else None)
            places = (self._classes[class_id], self._orgs[school], self._users[person])
            yield sourced or id_, "", "", *places, role, bool(primary), begins, end

    def _attendance_lines(self) -> Iterator[Row]:
        for row in self._rows(
            "SELECT r.id, r.session_id, r.class_id, r.school_id, r.school_day, s.starts_at, r.student_id, r.status, "
            "r.code, r.minutes_late, r.needs_review, r.origin, r.occurred_at, r.recorded_at, r.recorded_by, r.note, "
            "r.reason, r.version, r.valid_from FROM attendance_records r JOIN class_sessions s ON s.id = r.session_id "
            "ORDER BY r.id"
        ):
            record, session, class_id, school, day, starts, student, status, code, late, review, *rest = row
            origin, occurred, recorded, by, note, reason, version, since = rest
            yield (
                *(record, session, self._classes[class_id], self._orgs[school], day, starts, self._users[student]),
                *(status, code, late, bool(review), origin, occurred, recorded, self._users[by]),
                *(self._open(student, note), self._open(student, reason), version, since),
            )

    def _version_lines(self) -> Iterator[Row]:
        for row in self._rows(
            "SELECT record_id, version, session_id, class_id, school_day, student_id, status, code, minutes_late, "
            "needs_review, origin, recorded_by, note, reason, valid_from, valid_to FROM attendance_versions "
            "ORDER BY record_id, version"
        ):
            record, version, session, class_id, day, student, status, code, late, review, *rest = row
            origin, by, note, reason, since, until = rest
            yield (
                *(record, version, session, self._classes[class_id], day, self._users[student], status, code, late),
                *(bool(review), origin, self._users[by], self._open(student, note), self._open(student, reason)),
                *(since, until),
            )

    def _code_lines(self) -> Iterator[Row]:
        for org, code, title, status, category, document, retired, families in self._rows(
            "SELECT org_id, code, title, status, edfi_category, needs_document, retired, for_families "
            "FROM attendance_codes "
            "ORDER BY org_id, code"
        ):
            yield self._orgs[org], code, title, status, category, bool(document), bool(retired), bool(families)

    def _report_lines(self) -> Iterator[Row]:
        for id_, student, first, last, code, reason, state, by, at, decider, decided in self._rows(
            "SELECT id, student_id, first_day, last_day, code, reason, state, reported_by, reported_at, decided_by, "
            "decided_at FROM absence_reports ORDER BY id"
        ):
            why, people = self._open(student, reason), (self._users[by], self._users[decider])
            yield id_, self._users[student], first, last, code, why, state, people[0], at, people[1], decided

    def _document_lines(self) -> Iterator[Row]:
        for id_, report, student, kind, size, by, at, content in self._rows(
            "SELECT id, report_id, student_id, kind, size, sent_by, sent_at, content FROM absence_documents ORDER BY id"
        ):
            yield id_, report, self._users[student], kind, size, self._users[by], at, self._open(student, content)

    def _open(self, person: str, sealed: str | None) -> str | None:
        return self._connection.unseal_for(person, sealed)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else value


def _listed(value: str | None) -> str:
    return ",".join(map(str, orjson.loads(value))) if value else ""


def exported(
    tx: Transaction, *, party: str | None = None, purpose: str | None = None, ground: str | None = None
) -> None:
    """Enter in the journal that the whole district is about to be written out, for whom, why and on which ground."""
    data = {"party": party, "purpose": purpose, "files": sorted(name.removesuffix(".csv") for name in _COLUMNS)}
    tx.journal(EXPORTED, data=data if ground is None else {**data, "ground": ground})


async def export_to(store: Store, host: gate.Host, party: str, *, purpose: str, ground: str | None = None) -> None:
    """Enter that the whole district is about to be written out for `party`, as `exported` does.

    Plugins' `authorize` is asked first, with the party as the recipient, but for a ground that was stated. Raises
    Refused: Denied where there is none, NotChecked.
    """
    granted = gate.Granted()
    if ground is None:
        granted = await gate.ask(host, AccessRequest(action=EXPORTED, identity=None, recipient=party))
    before = ORIGIN.set(replace(ORIGIN.get(), basis=granted.basis))
    try:
        await store.write(partial(exported, party=party, purpose=purpose, ground=ground))
    finally:
        ORIGIN.reset(before)


Create = Callable[[str], contextlib.AbstractContextManager[IO[str]]]


@contextlib.contextmanager
def _destination(path: Path) -> Iterator[Create]:
    """Where files are created: in a new folder, or in a new zip; readable by nobody else."""
    if path.suffix.lower() != ".zip":
        path.mkdir(mode=0o700)

        def in_folder(name: str) -> IO[str]:
            descriptor = os.open(path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            return os.fdopen(descriptor, "w", encoding="utf-8", newline="")

        yield in_folder
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def in_zip(name: str) -> IO[str]:
            return io.TextIOWrapper(archive.open(name, "w", force_zip64=True), encoding="utf-8", newline="")

        yield in_zip
