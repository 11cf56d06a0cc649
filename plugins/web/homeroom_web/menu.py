"""Which links a page shows to whom. Rights are judged by each route; this only spares people dead ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from homeroom_web.visitors import RIGHTS, Visitor
from homeroom_web.words import to_say

STUDENT, GUARDIAN, TEACHER = frozenset({"student"}), frozenset({"guardian"}), frozenset({"teacher"})
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
        Link(
            "/absences",
            to_say("Reported absences"),
            STAFF,
            to_say("What families have reported, to be approved or refused"),
        ),
    ),
)
ADMIN = Room(
    "/admin",
    to_say("Administration"),
    (Link("/admin/plugins", to_say("Plugins"), DISTRICT, to_say("What runs, why one is out, and its switch")),),
)
ROOMS = (OFFICE, ADMIN)
TOP = (
    Link("/check-in", to_say("Check in"), STUDENT),
    Link("/days", to_say("My days"), STUDENT),
    Link("/classes", to_say("Classes"), TEACHER),
    Link(ADMIN.path, ADMIN.name, DISTRICT),
    Link(OFFICE.path, OFFICE.name, STAFF),
    Link("/children", to_say("My children"), GUARDIAN),
    Link("/my-messages", to_say("My messages"), GUARDIAN),
    Link("/records", to_say("Records and rights"), HOLDERS),
)
"""At the top of every page; the first that is shown is where somebody comes to who has signed in."""


def shown(links: Iterable[Link], visitor: Visitor) -> list[Link]:
    """Those for somebody with the visitor's roles."""
    return [link for link in links if any(visitor.has(role) for role in link.roles)]


def room_of(path: str) -> Room | None:
    """The room that a page belongs to."""
    return next((room for room in ROOMS if any(is_at(link.path, path) for link in room.links)), None)


def is_at(link: str, path: str) -> bool:
    """Whether a page is the one that a link leads to, or one below it."""
    return path == link or path.startswith(f"{link}/")
