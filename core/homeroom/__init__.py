"""All that a plugin imports: `hookimpl`, `HOOK_API`, the records that cross the hook border, and its services.

    from homeroom import Attempt, Evidence, Services, Verdict, hookimpl

Within one `HOOK_API` nothing here is taken away.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeroom.ahead import closing, one_ahead
    from homeroom.api.operation import PUBLIC, Answer, Body, Call, Query, Target, operation
    from homeroom.api.paging import PageQuery, cursor_of
    from homeroom.api.problem import FieldError, Invalid
    from homeroom.callbacks import raw_body
    from homeroom.handoff import AttendanceFile, WithAttendanceFile
    from homeroom.hookspecs import HOOK_API, hookimpl
    from homeroom.records import (
        NOUNS,
        AcademicSession,
        Class,
        Conflict,
        Course,
        Enrollment,
        Noun,
        Org,
        OutgoingMark,
        Page,
        Pull,
        Pushed,
        Record,
        RecordStatus,
        Resolution,
        RowError,
        SisConnector,
        SourceError,
        User,
        UserRole,
        facts_of,
    )
    from homeroom.services import Allowance, Api, ApiAnswer, Clock, Services
    from homeroom.sign_in import SignInProvider, SignInRefused
    from homeroom.sis_answers import Reply, VendorError
    from homeroom.sis_http import ClientCredentials, SisHttp
    from homeroom.store.connection import Connection, Transaction
    from homeroom.store.errors import Refused
    from homeroom.types import (
        AccessRequest,
        AddressNews,
        Attempt,
        Challenge,
        CheckIns,
        ClassSession,
        Credentials,
        DayCounts,
        Days,
        DayTotals,
        Decision,
        DeliveryReport,
        Event,
        Evidence,
        ExternalIdentity,
        Finding,
        Health,
        Identity,
        Mark,
        Message,
        NotSent,
        Outcome,
        PasswordSet,
        Receipt,
        Release,
        Role,
        RoleAt,
        Roll,
        Routes,
        School,
        SignIn,
        SignInStart,
        Status,
        Student,
        StudentDays,
        Suppressions,
        Verdict,
    )

__all__ = [
    "HOOK_API",
    "NOUNS",
    "PUBLIC",
    "AcademicSession",
    "AccessRequest",
    "AddressNews",
    "Allowance",
    "Answer",
    "Api",
    "ApiAnswer",
    "Attempt",
    "AttendanceFile",
    "Body",
    "Call",
    "Challenge",
    "CheckIns",
    "Class",
    "ClassSession",
    "ClientCredentials",
    "Clock",
    "Conflict",
    "Connection",
    "Course",
    "Credentials",
    "DayCounts",
    "DayTotals",
    "Days",
    "Decision",
    "DeliveryReport",
    "Enrollment",
    "Event",
    "Evidence",
    "ExternalIdentity",
    "FieldError",
    "Finding",
    "Health",
    "Identity",
    "Invalid",
    "Mark",
    "Message",
    "NotSent",
    "Noun",
    "Org",
    "Outcome",
    "OutgoingMark",
    "Page",
    "PageQuery",
    "PasswordSet",
    "Pull",
    "Pushed",
    "Query",
    "Receipt",
    "Record",
    "RecordStatus",
    "Refused",
    "Release",
    "Reply",
    "Resolution",
    "Role",
    "RoleAt",
    "Roll",
    "Routes",
    "RowError",
    "School",
    "Services",
    "SignIn",
    "SignInProvider",
    "SignInRefused",
    "SignInStart",
    "SisConnector",
    "SisHttp",
    "SourceError",
    "Status",
    "Student",
    "StudentDays",
    "Suppressions",
    "Target",
    "Transaction",
    "User",
    "UserRole",
    "VendorError",
    "Verdict",
    "WithAttendanceFile",
    "closing",
    "cursor_of",
    "facts_of",
    "hookimpl",
    "one_ahead",
    "operation",
    "raw_body",
]

_PLACES = (
    *(
        "hookspecs",
        "records",
        "services",
        "sign_in",
        "sis_answers",
        "sis_http",
        "store.connection",
        "store.errors",
        "types",
    ),
    *("api.operation", "api.paging", "api.problem", "callbacks", "handoff", "ahead"),
)


def __getattr__(name: str) -> Any:
    """A public name, imported when first asked for: `homeroom --help` is not to wait for web servers and drivers."""
    if name in __all__:
        for place in _PLACES:
            module = importlib.import_module(f"homeroom.{place}")
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
