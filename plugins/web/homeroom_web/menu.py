"""Which links a page shows to whom. Rights are judged by each route; this only spares people dead ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from homeroom_web.visitors import RIGHTS, Visitor
from homeroom_web.words import to_say

STUDENT, GUARDIAN, TEACHER = frozenset({"student"}), frozenset({"guardian"}), frozenset({"teacher"})
ROOM = TEACHER | {"substitute"}
HOLDERS = frozenset({RIGHTS})
STAFF, DISTRICT = frozenset({"school_admin", "district_admin"}), frozenset({"district_admin"})


@dataclass(frozen=True, slots=True)
class Link:
    """A page, its name, who is shown it, and in a room's list of its pages what it is for."""

    path: str
    text: str
    roles: frozenset[str]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Pages that belong together; `path` lists them."""

    path: str
    name: str
    links: tuple[Link, ...]


OFFICE = Room(
    "/office",
    to_say("School office"),
    (
        Link("/office/completion", to_say("Rolls"), STAFF, to_say("Which are taken, open and not taken")),
        Link("/office/today", to_say("Absences today"), STAFF, to_say("Who is missing or late, and who was told")),
        Link(
            "/absences",
            to_say("Reported absences"),
            STAFF,
            to_say("What families have reported, to be approved or refused"),
        ),
        Link("/classes", to_say("Classes"), STAFF, to_say("Every class, its roll, and links for substitutes")),
        Link(
            "/office/reports", to_say("Reports"), STAFF, to_say("Attendance in figures that say how they were counted")
        ),
        Link("/office/search", to_say("Find a student"), STAFF, to_say("By name or number")),
        Link(
            "/office/files", to_say("Files"), STAFF, to_say("Attendance and rosters for spreadsheets, marks from one")
        ),
        Link("/office/emergency", to_say("Emergency roll"), STAFF | TEACHER, to_say("Who is accounted for now")),
        Link("/kiosks", to_say("Tablets and cards"), STAFF, to_say("Tablets at the doors, students' cards and PINs")),
    ),
)
ADMIN = Room(
    "/admin",
    to_say("Administration"),
    (
        Link("/admin/plugins", to_say("Plugins"), DISTRICT, to_say("What runs, why one is out, and its switch")),
        Link("/admin/sync", to_say("Sync"), DISTRICT, to_say("Rosters in, attendance out, and what waits for you")),
        Link("/admin/health", to_say("System health"), DISTRICT, to_say("Every part, and the last hour in charts")),
        Link("/admin/messages", to_say("Messages"), STAFF, to_say("What was sent to whom, and what became of it")),
        Link("/admin/rules", to_say("Rules"), STAFF, to_say("Who is told of what, with a preview, and the texts")),
        Link("/admin/compliance", to_say("Compliance"), STAFF, to_say("Requests and deadlines that the law sets")),
        Link("/admin/audit", to_say("Audit log"), DISTRICT, to_say("Who has looked at whose record, with proof")),
        Link("/admin/jobs", to_say("Jobs"), DISTRICT, to_say("What runs in the background, and when next")),
    ),
)
ROOMS = (OFFICE, ADMIN)
TOP = (
    Link("/check-in", to_say("Check in"), STUDENT),
    Link("/days", to_say("My days"), STUDENT),
    Link("/classes", to_say("Classes"), ROOM),
    Link("/office/emergency", to_say("Emergency roll"), TEACHER),
    Link(ADMIN.path, ADMIN.name, DISTRICT),
    Link(OFFICE.path, OFFICE.name, STAFF),
    Link(ADMIN.path, ADMIN.name, STAFF),
    Link("/children", to_say("My children"), GUARDIAN),
    Link("/my-messages", to_say("My messages"), GUARDIAN),
    Link("/records", to_say("Records and rights"), HOLDERS),
)
"""At the top of every page; the first that is shown is where somebody comes to who has signed in."""


def shown(links: Iterable[Link], visitor: Visitor) -> list[Link]:
    """Those for somebody with the visitor's roles, each page once."""
    found: dict[str, Link] = {}
    for link in links:
        if any(visitor.has(role) for role in link.roles):
            found.setdefault(link.path, link)
    return list(found.values())


def room_of(path: str) -> Room | None:
    """The room that a page belongs to."""
    return next((room for room in ROOMS if path.startswith(f"{room.path}/") or _has(room, path)), None)


def _has(room: Room, path: str) -> bool:
    return any(is_at(link.path, path) for link in room.links)


def is_at(link: str, path: str) -> bool:
    """Whether a page is the one that a link leads to, or one below it."""
    return path == link or path.startswith(f"{link}/")
