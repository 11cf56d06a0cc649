"""The annual notice of rights (34 CFR 99.7): what it must list, in which languages, and who has had it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.access import facts
from homeroom_ferpa.rights.common import Row
from homeroom_ferpa.rights.settings import RightsSettings

MUST_LIST: Mapping[str, tuple[str, str]] = {
    "inspect": ("99.7(a)(2)(i)", "inspect and review the student's education records"),
    "amend": ("99.7(a)(2)(ii)", "seek amendment of records believed to be inaccurate, misleading or private"),
    "consent": ("99.7(a)(2)(iii)", "consent to disclosures, except where the law authorises them without"),
    "complain": ("99.7(a)(2)(iv)", "file a complaint with the U.S. Department of Education"),
    "inspect_procedure": ("99.7(a)(3)(i)", "the procedure for inspecting"),
    "amend_procedure": ("99.7(a)(3)(ii)", "the procedure for requesting amendment"),
    "school_official": ("99.7(a)(3)(iii)", "who is a school official and what interest is legitimate"),
}
"""What each part of the notice is for, by its name in the template: the section, and what it says."""

_ENGLISH: Mapping[str, str] = {
    "title": "Your rights over education records at {district}",
    "inspect": "You have the right to inspect and review the student's education records.",
    "inspect_procedure": "To do so, ask in Homeroom or write to {contact}. You are given access within "
    "{inspection_days} "
    "days after we receive your request. There is no fee for finding or getting the records.",
    "amend": "You have the right to ask for a record to be amended that you believe to be inaccurate, misleading or "
    "otherwise in violation of the student's privacy rights.",
    "amend_procedure": "To do so, name the record in Homeroom or write to {contact}, and say why it should be "
    "changed. We "
    "decide within {amendment_days} days. If we refuse, we tell you in writing, and you have the right to a hearing.",
    "consent": "You have the right to consent before personally identifiable information from the records is "
    "disclosed, "
    "except where the law (34 CFR 99.31) authorises disclosure without consent.",
    "school_official": "One exception is disclosure to school officials with a legitimate educational interest. "
    "A school "
    "official is {school_officials}. The interest is legitimate when {legitimate_interest}.",
    "complain": "You have the right to file a complaint with the U.S. Department of Education about a failure to "
    "comply: "
    "Student Privacy Policy Office, U.S. Department of Education, 400 Maryland Avenue SW, Washington, DC 20202.",
}
_SPANISH: Mapping[str, str] = {
    "title": "Sus derechos sobre los expedientes educativos en {district}",
    "inspect": "Usted tiene derecho a inspeccionar y revisar los expedientes educativos del estudiante.",
    "inspect_procedure": "Para hacerlo, pídalo en Homeroom o escriba a {contact}. Le damos acceso dentro de los "
    "{inspection_days} días después de recibir su solicitud. No se cobra por buscar ni por entregar los expedientes.",
    "amend": "Usted tiene derecho a pedir que se corrija un dato que considere inexacto, engañoso o contrario a los "
    "derechos de privacidad del estudiante.",
    "amend_procedure": "Para hacerlo, indique el dato en Homeroom o escriba a {contact}, y diga por qué debe "
    "cambiarse. "
    "Decidimos dentro de {amendment_days} días. Si no lo aceptamos, se lo comunicamos por escrito y usted tiene "
    "derecho a "
    "una audiencia.",
    "consent": "Usted tiene derecho a dar su consentimiento antes de que se divulgue información personal de los "
    "expedientes, salvo cuando la ley (34 CFR 99.31) autoriza la divulgación sin consentimiento.",
    "school_official": "Una excepción es la divulgación a funcionarios escolares con un interés educativo legítimo. "
    "Funcionario escolar: {school_officials}. El interés es legítimo cuando: {legitimate_interest}.",
    "complain": "Usted tiene derecho a presentar una queja ante el Departamento de Educación de los Estados Unidos: "
    "Student Privacy Policy Office, U.S. Department of Education, 400 Maryland Avenue SW, Washington, DC 20202.",
}
_BUILT_IN = {"en": _ENGLISH, "es": _SPANISH}
_HOW = ("paper", "email", "homeroom", "large_print", "braille", "audio", "in_person")
_GUARDIANS = """
SELECT DISTINCT g.guardian_id, p.language FROM guardianships g JOIN users u ON u.id = g.student_id
LEFT JOIN notification_preferences p ON p.user_id = g.guardian_id
WHERE NOT g.ended AND NOT g.blocked AND NOT u.ended ORDER BY g.guardian_id
"""
_STUDENTS = f"""
SELECT DISTINCT u.id, CAST(u.birth_date AS TEXT), p.language, s.id FROM users u
JOIN role_assignments r ON r.user_id = u.id AND r.role = 'student'
LEFT JOIN notification_preferences p ON p.user_id = u.id
LEFT JOIN ferpa_standings s ON s.student_id = u.id AND s.kind = 'postsecondary' AND s.ended_at IS NULL
  AND {facts.NOW.format("s")}
WHERE NOT u.ended AND (u.birth_date IS NOT NULL OR s.id IS NOT NULL) ORDER BY u.id
"""  # noqa: S608 - constants


def languages(settings: RightsSettings) -> list[str]:
    """The languages in which there is a notice: the built-in ones and the district's own translations."""
    return sorted({*_BUILT_IN, *settings.notices})


def notice(settings: RightsSettings, language: str) -> tuple[str, str]:
    """The notice in a language, and the language that it is in: English where there is no other."""
    for tongue in (language, language.partition("-")[0], "en"):
        if tongue in settings.notices:
            return settings.notices[tongue], tongue
        if tongue in _BUILT_IN:
            parts = _BUILT_IN[tongue]
            facts = settings.model_dump(exclude={"retention", "notices"})
            order = ("title", *MUST_LIST)
            return "\n\n".join(parts[name].format(**facts) for name in order), tongue
    raise LookupError("English is always there")


def deliver(
    tx: Transaction, *, year: str, guardian_id: str, language: str, how: str, accessible: str | None, on: date
) -> Row:
    """Keep that a guardian has had this year's notice, how and in which language; the latest delivery counts.

    `guardian_id` may be a student whose rights have passed to them, who is given it, too (99.7(a)(1)).
    """
    known = tx.sql("SELECT 1 FROM guardianships WHERE guardian_id = ? LIMIT 1", (guardian_id,))
    if not known and facts.passed(tx, guardian_id, on) is None:
        raise Refused(422, "no-guardian", "This person is nobody's guardian here, and no student who holds the rights.")
    if how not in _HOW:
        raise Refused(422, "unknown-way", f"Say one of: {', '.join(_HOW)}.")
    row = {
        "year": year,
        "guardian_id": guardian_id,
        "language": language,
        "how": how,
        "accessible": accessible,
        "delivered_on": on.isoformat(),
        "recorded_by": tx.origin.actor_id,
    }
    names = ", ".join(row)
    rest = ", ".join(f"{name} = excluded.{name}" for name in row if name not in ("year", "guardian_id"))
    tx.write_sql(
        f"INSERT INTO ferpa_notice_deliveries ({names}) VALUES ({', '.join('?' * len(row))}) "  # noqa: S608 - constants
        f"ON CONFLICT (year, guardian_id) DO UPDATE SET {rest}",
        list(row.values()),
    )
    data = {name: row[name] for name in ("year", "language", "how", "accessible", "delivered_on")}
    tx.journal("compliance.notice_delivered", subject_id=guardian_id, data=data)
    return row


def deliveries(connection: Connection, settings: RightsSettings, year: str, today: date) -> list[Row]:
    """Everybody who is to have this year's notice, with the home language, and what became of it.

    Those are the guardians of the students, and the students whose rights have passed to them (`eligible_student`).
    `offered` is the language in which there is a notice for them, None where a translation is still to be made.
    """
    columns = ("guardian_id", "language", "how", "accessible", "delivered_on", "recorded_by")
    text = f"SELECT {', '.join(columns)} FROM ferpa_notice_deliveries WHERE year = ?"  # noqa: S608 - constants
    had = {row[0]: dict(zip(columns, row, strict=True)) for row in connection.sql(text, (year,))}
    found: list[Row] = []
    guardians = [(guardian_id, home, False) for guardian_id, home in connection.sql(_GUARDIANS)]
    for guardian_id, home, eligible in (*guardians, *_eligible(connection, today)):
        wanted = home or "en"
        offered = notice(settings, wanted)[1]
        is_there = offered == wanted or offered == wanted.partition("-")[0]
        row = {"guardian_id": guardian_id, "home_language": wanted, "offered": offered if is_there else None}
        row["eligible_student"] = eligible
        given = had.get(guardian_id)
        row["delivered"] = given
        row["in_home_language"] = (
            None if given is None else given["language"].partition("-")[0] == wanted.partition("-")[0]
        )
        found.append(row)
    return found


def _eligible(connection: Connection, today: date) -> list[tuple[str, str | None, bool]]:
    day = today.isoformat()
    students = connection.sql(_STUDENTS, (day, day))
    return [(one, home, True) for one, born, home, early in students if early or facts.is_adult(born, today)]
