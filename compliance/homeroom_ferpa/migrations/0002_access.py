"""Who may see whose records beyond the core's rule, what was agreed to, and what was disclosed.

Ids, codes and names of fields are kept in clear; what people wrote (`reference`, `threat`, `text`, `copy`) is sealed
under the student's key. Nothing here is deleted by a decision: it ends, and says when and by whom.
"""

_TABLES = (
    # court orders, exceptions and postsecondary enrolment; party_id "" means either parent
    (
        "CREATE TABLE ferpa_standings (id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, student_id TEXT NOT NULL, "
        "party_id TEXT NOT NULL, reference TEXT NOT NULL, threat TEXT, begins_on TEXT NOT NULL, ends_on TEXT, "
        "recorded_by TEXT, recorded_at TEXT NOT NULL, ended_by TEXT, ended_at TEXT, version BIGINT NOT NULL)"
    ),
    "CREATE INDEX ferpa_standings_student ON ferpa_standings (student_id, kind)",
    "CREATE UNIQUE INDEX ferpa_standings_one ON ferpa_standings (kind, student_id, party_id) WHERE ended_at IS NULL",
    (
        "CREATE TABLE ferpa_consents (id TEXT NOT NULL PRIMARY KEY, student_id TEXT NOT NULL, party TEXT NOT NULL, "
        "records TEXT NOT NULL, purpose TEXT NOT NULL, signed_by TEXT NOT NULL, signed_on TEXT NOT NULL, "
        "authenticated TEXT NOT NULL, text TEXT NOT NULL, text_hash TEXT NOT NULL, ends_on TEXT, recorded_by TEXT, "
        "recorded_at TEXT NOT NULL, revoked_by TEXT, revoked_at TEXT, version BIGINT NOT NULL)"
    ),
    "CREATE INDEX ferpa_consents_student ON ferpa_consents (student_id, party)",
    "CREATE INDEX ferpa_consents_party ON ferpa_consents (party)",
    (
        "CREATE TABLE ferpa_officials (id TEXT NOT NULL PRIMARY KEY, recipient TEXT NOT NULL, service TEXT NOT NULL, "
        "direct_control TEXT NOT NULL, redisclosure_limit TEXT NOT NULL, agreement TEXT NOT NULL, "
        "categories TEXT NOT NULL, "
        "begins_on TEXT NOT NULL, ends_on TEXT, recorded_by TEXT, recorded_at TEXT NOT NULL, ended_by TEXT, "
        "ended_at TEXT, "
        "version BIGINT NOT NULL)"
    ),
    "CREATE UNIQUE INDEX ferpa_officials_one ON ferpa_officials (recipient) WHERE ended_at IS NULL",
    (
        "CREATE TABLE ferpa_directory (version BIGINT NOT NULL PRIMARY KEY, items TEXT NOT NULL, parties TEXT, "
        "purposes TEXT, notice_on TEXT, opt_out_until TEXT, recorded_by TEXT, recorded_at TEXT NOT NULL)"
    ),
    (
        "CREATE TABLE ferpa_opt_outs (student_id TEXT NOT NULL PRIMARY KEY, recorded_by TEXT, "
        "recorded_at TEXT NOT NULL, "
        "withdrawn_by TEXT, withdrawn_at TEXT, version BIGINT NOT NULL)"
    ),
    # the record of disclosures; event_id makes taking over the journal idempotent
    (
        "CREATE TABLE ferpa_ledger (id TEXT NOT NULL PRIMARY KEY, event_id BIGINT UNIQUE, at TEXT NOT NULL, "
        "party TEXT NOT NULL, via TEXT, kind TEXT NOT NULL, interest TEXT NOT NULL, basis TEXT NOT NULL, exempt TEXT, "
        "fields TEXT NOT NULL, whole_district INTEGER NOT NULL, notice INTEGER NOT NULL, consent_id TEXT, "
        "standing_id TEXT, actor_id TEXT, request_id TEXT, inquired_at TEXT, told_at TEXT)"
    ),
    "CREATE INDEX ferpa_ledger_at ON ferpa_ledger (at)",
    (
        "CREATE TABLE ferpa_ledger_students (student_id TEXT NOT NULL, entry_id TEXT NOT NULL, copy TEXT, "
        "PRIMARY KEY (student_id, entry_id))"
    ),
    "CREATE INDEX ferpa_ledger_students_entry ON ferpa_ledger_students (entry_id)",
    (
        "CREATE TABLE ferpa_redisclosures (id TEXT NOT NULL PRIMARY KEY, entry_id TEXT NOT NULL, party TEXT NOT NULL, "
        "interest TEXT NOT NULL, disclosed_on TEXT NOT NULL, recorded_by TEXT, recorded_at TEXT NOT NULL)"
    ),
    "CREATE INDEX ferpa_redisclosures_entry ON ferpa_redisclosures (entry_id)",
)
_NAMES = ("redisclosures", "ledger_students", "ledger", "opt_outs", "directory", "officials", "consents", "standings")


def up(migrator, db):
    for statement in _TABLES:
        db.execute_sql(statement)


def down(migrator, db):
    for name in _NAMES:
        db.execute_sql(f"DROP TABLE ferpa_{name}")
