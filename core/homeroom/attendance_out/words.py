"""How attendance goes back to a SIS, in plain words for an administrator."""

from __future__ import annotations

from homeroom.records import SisConnector

_MINUTE = 60


def words(connector: SisConnector, name: str, *, sending: bool = True, delay_seconds: float = 20) -> str:
    """One sentence on what happens, and one on what to do where nothing does.

    `name` is the connector's; one that has a `title` is called by that. `sending` says whether `[sync] attendance_out`
    names it.
    """
    title = getattr(connector, "title", None) or name
    if connector.attendance_out == "none":
        return f"{title} takes no attendance. Take it over from the attendance file of homeroom db export."
    each = "one mark for each class" if connector.attendance_level == "class" else "one mark for each school day"
    if not sending:
        return (
            f"No attendance goes to {title}, because nothing is written to a SIS unasked. "
            f'To begin, add "{name}" to attendance_out under [sync] in homeroom.toml ({each}).'
        )
    if connector.attendance_out == "file":
        return f"Attendance goes to {title} as a file, {each}. Load the file there, or let a scheduled import do it."
    return f"Attendance goes to {title} by its API {_within(delay_seconds)}, {each}."


def _within(delay: float) -> str:
    if delay < _MINUTE:
        return "within a minute"
    minutes = int(delay // _MINUTE) + 1
    return f"within {minutes} minutes"
