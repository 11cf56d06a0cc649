"""What messages need to know of schools: the name, the office's phone, and what time it is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from homeroom.notify.times import Quiet
from homeroom.roster.calendar import school_day, zone_of
from homeroom.settings import Settings
from homeroom.store import Connection
from homeroom.store import models as m


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A school, or (`id` "") the district as a whole. `phone` is "" where none is set."""

    id: str
    name: str
    phone: str
    zone: ZoneInfo
    quiet: Quiet

    def today(self, now: datetime) -> date:
        """The school's date."""
        return school_day(now, self.zone)


class Schools:
    """Schools, each read once."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._known: dict[str, School] = {}

    def __getitem__(self, school_id: str) -> School:
        """The school of this id; for "" the district."""
        if school_id not in self._known:
            self._known[school_id] = self._read(school_id)
        return self._known[school_id]

    def _read(self, school_id: str) -> School:
        org = self._connection.get(m.Org, school_id) if school_id else None
        zone = zone_of(self._connection, school_id or self._district(), self._settings.attendance.time_zone)
        notify = self._settings.notify
        return School(
            id=school_id,
            name=org.name if org is not None else "Homeroom",
            phone=str((org.settings or {}).get("phone") or "") if org is not None else "",
            zone=zone,
            quiet=Quiet(begins=notify.quiet_from, ends=notify.quiet_until),
        )

    def _district(self) -> str:
        """The org above all others, "" where there are several: its clock is the district's."""
        org = m.Org
        tops = self._connection.values(org.select(org.id).where(org.kind == "district", ~org.ended).limit(2))
        return str(tops[0]) if len(tops) == 1 else ""
