"""A district at its first bell: a dozen homerooms that a SIS knows, families to be told, and everybody signed in.

It is built once for each kind of database and process, and copied for each test.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from homeroom.attendance.sessions import Opening, open_session
from homeroom.auth import sessions
from homeroom.auth.tokens import AccessTokens, RefreshTokens
from homeroom.cli.simulate import toml_value
from homeroom.demo.roster import load_roster
from homeroom.notify.addresses import normal
from homeroom.notify.rules import add_rule, draft
from homeroom.roster import people
from homeroom.roster.classes import roster_of
from homeroom.settings import Settings, load_settings
from homeroom.store import Store, Transaction, new_id
from homeroom_ferpa.access import officials
from tests.services.weather import MONDAY

STUDENTS = 150
ABSENT = 2  # of each homeroom
_METHOD = "rotating_code"
PLUGINS = ("rotating_code", "ferpa", "twilio", "powerschool", "moody")
_TOML = """\
[server]
public_base_url = "{url}"
requests_per_minute = 1000000

[auth]
access_token_minutes = 1440

[attendance]
school_days = [0, 1, 2, 3, 4, 5, 6]

[sync]
attendance_out = ["powerschool"]
attendance_delay_seconds = 1

[notify]
channels = ["sms"]
quiet_from = 00:00:00
quiet_until = 00:00:00
ask_after_seconds = 0.5

[log]
level = "warning"
format = "json"

[plugins]
enabled = {enabled}
required = ["ferpa"]

[plugins.rotating_code]
attempts_per_student = 100
attempts_per_session = 100000

[plugins.ferpa.log]
origin = "district.example/log"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One homeroom: those of `students` who do not come are the last ones."""

    class_id: str
    session_id: str
    teacher: str
    students: list[str]

    @property
    def coming(self) -> list[str]:
        """Who checks in."""
        return self.students[:-ABSENT]

    @property
    def absent(self) -> list[str]:
        """Who does not."""
        return self.students[-ABSENT:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bell:
    """What stands in the database before the bell: `tokens` are access tokens, `numbers` telephones by guardian."""

    rooms: list[Room]
    tokens: dict[str, str] = field(repr=False)
    numbers: dict[str, str] = field(repr=False)

    def dump(self) -> str:
        """As text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def load(cls, text: str) -> Bell:
        """From text."""
        told = json.loads(text)
        return cls(**{**told, "rooms": [Room(**room) for room in told["rooms"]]})


def write_settings(folder: Path, url: str, sections: Mapping[str, Mapping[str, Any]]) -> Path:
    """The district's homeroom.toml, served at `url`; `sections` are those of its vendors."""
    text = _TOML.format(url=url, enabled=toml_value(list(PLUGINS)))
    for name, values in sections.items():
        text += f"\n[plugins.{name}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())
    path = folder / "homeroom.toml"
    path.write_text(text)
    return path


def offer_moody(folder: Path) -> Path:
    """A folder that must be on sys.path for the plugin `moody` to be installed."""
    place = folder / "installed"
    info = place / "homeroom_moody-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.3\nName: homeroom-moody\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[homeroom.plugins]\nmoody = tests.services.weather:Moody\n")
    return place


async def build(config: Path, database_url: str) -> Bell:
    """Read the roster from the SIS into an empty database, and bring everything into the state before the bell."""
    settings = load_settings(config, {"DATABASE_URL": database_url})
    await load_roster(settings, "powerschool")
    with Store(database_url, cipher=settings.cipher()) as store:
        return await store.write(lambda tx: _before_the_bell(tx, settings))


def _before_the_bell(tx: Transaction, settings: Settings) -> Bell:
    of_class = {"of": "class", "delay_minutes": 0, "latest": "00:00", "until": "23:59"}
    add_rule(tx, new_id(), draft("absence", of_class, title="Absence from a class"))
    for plugin in ("twilio", "powerschool"):
        officials.add(tx, _official(plugin))
    rooms = _rooms(tx)
    everybody = [person for room in rooms for person in (room.teacher, *room.students)]
    return Bell(rooms=rooms, tokens=_signed_in(tx, settings, everybody), numbers=_numbers(tx, rooms))


def _official(plugin: str) -> officials.Official:
    return officials.Official(
        id=new_id(),
        recipient=f"plugin:{plugin}",
        service="what it is for",
        direct_control="the district decides",
        redisclosure_limit="to nobody",
        agreement="on file",
        categories=("all",),
        begins_on=date(2026, 8, 1),
    )


def _rooms(tx: Transaction) -> list[Room]:
    """Classes that share no student, with an open session each."""
    found: list[Room] = []
    seated: set[str] = set()
    for (class_id,) in tx.sql("SELECT id FROM classes ORDER BY sourced_id"):
        roster = roster_of(tx, class_id, MONDAY.date())
        students = [member.user_id for member in roster.students]
        if seated.isdisjoint(students):
            found.append(_room(tx, class_id, roster.teachers[0].user_id, students))
            seated.update(students)
    assert len(seated) > STUDENTS * 0.9  # the others come later in the year
    return found


def _room(tx: Transaction, class_id: str, teacher: str, students: list[str]) -> Room:
    opening = Opening(id=new_id(), class_id=class_id, starts_at=MONDAY, methods=[_METHOD], served=[_METHOD])
    session_id = open_session(tx, opening).id
    return Room(class_id=class_id, session_id=session_id, teacher=teacher, students=students)


def _signed_in(tx: Transaction, settings: Settings, users: Sequence[str]) -> dict[str, str]:
    access, refresh = AccessTokens(settings.auth), RefreshTokens(settings.cipher().derive("refresh tokens"))
    for user in dict.fromkeys(users):
        session = f"bell-{user}"
        token = refresh.make(session)
        sessions.start(tx, session_id=session, user_id=user, refresh_token=token, device="", days=30)
    issued = int((MONDAY - timedelta(hours=3)).timestamp())
    return {user: access.issue(user_id=user, session_id=f"bell-{user}", now=issued) for user in users}


def _numbers(tx: Transaction, rooms: Sequence[Room]) -> dict[str, str]:
    """The telephone of every guardian of somebody who will not come; some share one, and who had none is given one."""
    found: dict[str, str] = {}
    absent = [student for room in rooms for student in room.absent]
    for guardian in sorted({one.user.id for student in absent for one in people.guardians_of(tx, student)}):
        known = [one.value for one in people.contacts_of(tx, guardian) if one.kind == "sms"]
        if not known:
            known = [f"+1212555{1000 + len(found)}"]
            people.add_contact(tx, guardian, "sms", known[0])
        [found[guardian]] = {normal("sms", value, "US") or "" for value in known}
    return found


def copied(base: Path, folder: Path) -> Path:
    """A copy of a SQLite database that nobody has open."""
    path = folder / "homeroom.db"
    shutil.copyfile(base, path)
    return path
