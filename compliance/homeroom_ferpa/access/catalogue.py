"""What every stored field is to the law: one class for each column of the core's tables and of this plugin's.

A column that stands in no line fails a test (§99.3): whoever adds a field says first what it is.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping


class FieldClass(enum.Enum):
    """What a field is; the personal ones are those by which a student or a family can be told."""

    NAME = "name of a person"
    IDENTIFIER = "number or name by which somebody outside knows the person"
    INDIRECT = "indirect identifier, such as a birth date"
    CONTACT = "address, number or channel by which a person is reached"
    EDUCATION_RECORD = "what the school has recorded of a student"
    FREE_TEXT = "words that somebody wrote of a student"
    LINK = "our own id of a person: random, and in itself nothing"
    OPERATIONAL = "how the place runs; of nobody"
    SECRET = "key, hash or sealed bytes"  # noqa: S105 - a word for a class

    @property
    def is_personal(self) -> bool:
        """Whether it is personally identifiable information."""
        return self not in (FieldClass.LINK, FieldClass.OPERATIONAL, FieldClass.SECRET)


_SHORT = {
    "N": FieldClass.NAME,
    "I": FieldClass.IDENTIFIER,
    "X": FieldClass.INDIRECT,
    "C": FieldClass.CONTACT,
    "E": FieldClass.EDUCATION_RECORD,
    "T": FieldClass.FREE_TEXT,
    "L": FieldClass.LINK,
    "O": FieldClass.OPERATIONAL,
    "S": FieldClass.SECRET,
}
_CORE = """
journal O: id at kind class_id session_id purpose basis request_id | L: actor_id student_id subject_id | E: data
cursors O: consumer position failures error retry_at
leases O: name holder until
key_values O: plugin key expires_at | S: value
idempotency_keys L: owner | S: key request_hash answer | O: status created_at
plugin_states O: name enabled revision updated_at | S: settings | L: updated_by
person_keys L: user_id | S: sealed_key
orgs O: id source sourced_id name kind identifier parent_id time_zone settings ended changed_at
academic_sessions O: id source sourced_id title kind begins_on ends_on school_year parent_id ended changed_at
calendar_days O: school_id day in_session title
courses O: id source sourced_id title code org_id ended changed_at
classes O: id source sourced_id title school_id course_id code kind periods methods require late_after_minutes
    O: archived ended version changed_at
class_terms O: class_id term_id
users L: id | O: source enabled version changed_at | I: sourced_id identifier username | N: given_name middle_name
    N: family_name preferred_given_name preferred_family_name sort_name | X: grades birth_date | E: ended
role_assignments L: user_id | E: role org_id primary begins_on ends_on | O: source
contacts O: id source | L: user_id | C: kind value begins_on ends_on | S: lookup
guardianships L: guardian_id student_id | X: relationship | E: blocked data_access begins_on ends_on ended
    C: notify | O: source changed_at
enrollments O: id source changed_at | I: sourced_id | L: user_id | E: class_id role primary begins_on ends_on ended
sign_in_sessions O: id created_at last_used_at expires_at ended_at end_reason | L: user_id | X: device
    S: refresh_hash
external_logins O: provider created_at | I: subject | L: user_id
sign_in_attempts S: state_hash sealed | O: provider expires_at
invitations O: id created_at expires_at used_at | S: token_hash | L: user_id created_by
substitutions O: id class_id day begins_at ends_at created_at revoked_at | S: token_hash
    L: user_id created_by revoked_by
api_keys O: id name scopes created_at expires_at revoked | S: key_hash | L: created_by
tickets S: token_hash data | O: purpose session_id expires_at uses_left | L: user_id
attendance_codes O: org_id code title status edfi_category needs_document for_families retired
class_sessions O: id class_id school_id school_day period starts_at late_after_minutes methods require state
    O: closed_at roll_taken_at | L: opened_by closed_by
attendance_records O: id client_id version | E: session_id class_id school_id school_day status code minutes_late
    E: needs_review evidence origin occurred_at recorded_at valid_from | L: student_id recorded_by | T: note reason
attendance_versions O: record_id version | E: session_id class_id school_day status code minutes_late needs_review
    E: origin valid_from valid_to | L: student_id recorded_by | T: note reason
attendance_counts O: class_id school_day school_id present tardy absent excused
absence_reports O: id | L: student_id reported_by decided_by | E: first_day last_day code state reported_at
    E: decided_at | T: reason
emergencies O: id school_id school_day kind begun_at ended_at | L: begun_by ended_by
emergency_words O: emergency_id number | L: student_id by | E: state at
absence_documents O: id report_id kind size | L: student_id sent_by | E: sent_at | T: content
sync_runs O: id connector dry_run full state reason started_at finished_at added changed ended unchanged
    O: dead_letters kind approves findings judged_at phase noun done total rows_read | L: started_by released_by
sync_checkpoints O: run_id noun cursor pulled total complete delta unreadable applied given moved
staged_rows O: run_id noun location | I: sourced_id | S: content_hash sealed | E: content change | L: row_id
source_states O: source noun | I: sourced_id | S: content_hash | E: content
dead_letters O: id connector run_id noun location field reason replayed_at | I: sourced_id | E: content
local_edits O: noun field source at | L: row_id by
sync_conflicts O: id connector noun field state found_at changed_at | I: sourced_id | L: row_id who | E: base ours
    E: theirs chosen | T: why
sync_schedules O: connector schedule served_at failures retry_at
sync_hints O: connector hinted_at
sync_tasks O: run_id connector dry_run full approves schedules claimed_at attempts | L: started_by
sync_diffs O: run_id part | E: content
outgoing_queues O: connector sent confirmed left_out last_sent_at
outgoing_marks O: id connector school_sourced_id class_sourced_id version state waiting_since tries retry_at
    O: error overwrite confirmed sent_at | L: student_id | E: school_id class_id session_id school_day periods
    E: starts_at status code minutes_late recorded_at wish sent_wish held theirs | I: student_sourced_id
    I: enrollment_sourced_id
outgoing_writes O: key mark_id connector version wish outcome reason started_at answered_at | E: content held_before
    E: held_after
outgoing_choices O: id mark_id version chosen_at | E: choice theirs | T: why | L: chosen_by
notifications O: id rule_id rule_version purpose audience state reason code due_at expires_at created_at
    O: changed_at tries attempts plugin provider_id segments started_at holder asked corrects | L: key student_id
    L: recipient_id contact_id | E: kind school_id school_day why | C: language channels channel | T: content
notification_attempts O: message_id number started_at answered_at plugin provider_id outcome reason code
    C: channel | L: contact_id
notification_cases L: student_id | E: school_id school_day state | O: revision due_at began_at changed_at
notification_consents C: channel state | S: lookup | O: purpose source changed_at | L: changed_by
notification_counts O: school_id day channel sent segments cost extra alarmed_at
notification_preferences L: user_id | C: language channels | O: changed_at
notification_rules O: id org_id kind title enabled settings version changed_at | L: changed_by
notification_rule_versions O: rule_id version title enabled settings changed_at | L: changed_by
notification_templates O: org_id kind language part text version changed_at | L: changed_by
"""
_OURS = """
ferpa_standings       O: id kind begins_on ends_on recorded_at ended_at version | L: student_id party_id recorded_by
                      | L: ended_by | T: reference threat
ferpa_consents        O: id purpose ends_on recorded_at revoked_at version authenticated signed_on | E: records
                      | L: student_id signed_by recorded_by revoked_by party | T: text | S: text_hash
ferpa_officials       O: id recipient service direct_control redisclosure_limit agreement categories begins_on ends_on
                      | O: recorded_at ended_at version | L: recorded_by ended_by
ferpa_directory       O: version items parties purposes notice_on opt_out_until recorded_at | L: recorded_by
ferpa_opt_outs        L: student_id recorded_by withdrawn_by | O: recorded_at withdrawn_at version
ferpa_ledger          O: id event_id at via kind interest basis exempt fields whole_district notice consent_id
                      | O: standing_id request_id inquired_at told_at | L: party actor_id
ferpa_ledger_students L: student_id | O: entry_id | E: copy
ferpa_redisclosures   O: id entry_id party interest disclosed_on recorded_at | L: recorded_by
ferpa_audit           O: id key at kind action purpose basis class_id fields rows request_id reason credential
                      | L: actor student_ids recipient | S: place
ferpa_audit_students  L: student_id | O: entry_id
ferpa_audit_found     O: name last_id
ferpa_journal_students L: student_id | O: event_id
ferpa_log_tiles       O: level number refs last_audit last_journal | S: hashes
ferpa_log_checkpoints O: number size at last_audit last_journal note | S: root
ferpa_log_keys        O: since key_id name public | S: sealed
ferpa_log_processes   O: process seen_at stopped
ferpa_inspections     O: id received_on due_on alerted_at violated_at ended_at act | E: state | T: wish
                      | L: student_id asked_by entered_by ended_by
ferpa_explanations    O: id inspection_id asked_at answered_at act | L: student_id asked_by answered_by
                      | T: question answer
ferpa_amendments      O: id received_on due_on decided_at overdue_at act | L: student_id record_id asked_by decided_by
                      | E: record_version wanted_status wanted_code state new_version | T: why decision
ferpa_hearings        O: id amendment_id asked_on due_on held_on notice_on disinterested decided_at overdue_at act
                      | L: student_id record_id asked_by officer_id decided_by | E: state outcome
                      | T: place officer evidence reasons decision
ferpa_statements      O: id hearing_id made_at | L: student_id record_id made_by | T: text
ferpa_letters         O: id kind written_at sent_at sent_how | L: student_id recipient_id subject_id sent_by | T: text
ferpa_notice_deliveries O: year how accessible delivered_on | L: guardian_id recorded_by | C: language
ferpa_holds           O: id set_at lifted_at | L: student_id set_by lifted_by | T: reference
ferpa_purges          O: id at counts skipped | L: by
ferpa_erasures        O: at why | L: person_id by
ferpa_special_access  O: id accessed_on purpose recorded_at | L: student_id party recorded_by
ferpa_turns           O: name holder until
ferpa_watch_positions O: source position
ferpa_watch_tallies   O: kind span first_id last_id began_at last_at rows entries | L: who | S: seen
ferpa_watch_places    O: credential family at row_id left_at left_id | S: place left_place
ferpa_anomalies       O: id kind credential span state found_at began_at last_at rows students first_id last_id entries
                      | O: settled_at incident_id act | L: who settled_by | T: reason
ferpa_incidents       O: id discovered_at discovered_on at_vendor states everybody state opened_at closed_at act
                      | L: opened_by closed_by | T: what closing
ferpa_incident_students L: student_id | O: incident_id
ferpa_incident_tasks  O: incident_id clock due_on state done_on done_at alerted_at overdue_at act | L: done_by | T: how
ferpa_figures         O: number since until small_cell review cells published_at
ferpa_studies         O: id organisation purpose scope data data_since data_until first_day last_day destroy_by
                      | O: destroy_how agreement signed_on recorded_at reminded_at overdue_at ended_at destroyed_on
                      | O: destroyed_how version | N: signed_by confirmed_by | L: recorded_by ended_by
ferpa_study_extracts  O: id study_id number since until small_cell review students made_at | L: made_by
ferpa_study_codes     L: id student_id | O: study_id | I: code
ferpa_study_rows      O: extract_id | L: code_id | E: told
ferpa_study_lookups   O: id study_id looked_up_at | L: student_id looked_up_by | T: reason
"""


def parsed(text: str) -> Mapping[str, FieldClass]:
    """The class of each "table.column" that `text` names, in the form of the tables above."""
    found: dict[str, FieldClass] = {}
    table = ""
    for line in text.strip().splitlines():
        rest = line
        if not line.startswith(" "):
            table, _, rest = line.partition(" ")
        for part in rest.split("|"):
            letter, _, names = part.strip().partition(":")
            if names:
                found |= {f"{table}.{name}": _SHORT[letter] for name in names.split()}
    return found


CATALOGUE: Mapping[str, FieldClass] = {**parsed(_CORE), **parsed(_OURS)}
"""Every stored field by "table.column"."""


def unclassed(columns: Iterable[str], *more: Mapping[str, FieldClass]) -> list[str]:
    """Those of `columns` ("table.column") that have no class, here or in the catalogues of other parts."""
    known = CATALOGUE.keys() | {name for catalogue in more for name in catalogue}
    return sorted(set(columns) - known)
