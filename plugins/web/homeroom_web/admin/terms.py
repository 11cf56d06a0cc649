"""The words for states and kinds that routes name by a code: each code, and how a page says it."""

from __future__ import annotations

from collections.abc import Mapping

from homeroom_web.words import to_say

STATES: Mapping[str, str] = {
    "problem": to_say("anything to look at"),
    "waiting": to_say("waiting"),
    "held": to_say("held back"),
    "sending": to_say("being sent"),
    "unknown": to_say("nobody knows"),
    "accepted": to_say("taken by the service"),
    "delivered": to_say("delivered"),
    "failed": to_say("failed"),
    "expired": to_say("too late"),
    "cancelled": to_say("cancelled"),
    "withheld": to_say("not sent on purpose"),
}
"""Of messages."""

STUDENT_KINDS: Mapping[str, str] = {
    "absence": to_say("Absence"),
    "tardy": to_say("Came late"),
    "returned": to_say("Came after all"),
    "in_a_row": to_say("Days missed in a row"),
    "total": to_say("Days missed in all"),
    "share": to_say("Share of days missed"),
}
RULE_KINDS: Mapping[str, str] = {
    **STUDENT_KINDS,
    "roll_not_taken": to_say("No roll was taken"),
    "sync_failed": to_say("A sync failed"),
    "sync_held": to_say("A sync is held"),
    "sync_late": to_say("A sync is late"),
    "connector_unhealthy": to_say("A connector has trouble"),
    "plugin_quarantined": to_say("A plugin is out"),
    "messages_held": to_say("Messages are held back"),
    "digest": to_say("The day in one message"),
}
"""Of rules; those about a student can be previewed."""

TEXT_KINDS: Mapping[str, str] = {**RULE_KINDS, "correction": to_say("A correction")}
AUDIENCES: Mapping[str, str] = {
    "guardian": to_say("guardians"),
    "student": to_say("the student"),
    "teacher": to_say("teachers"),
    "office": to_say("the office"),
}
PARTS: Mapping[str, str] = {
    "sms": to_say("Text message"),
    "subject": to_say("Subject of the e-mail"),
    "email": to_say("E-mail"),
}
TASK_KINDS: Mapping[str, str] = {
    "inspection": to_say("Asks to see the record"),
    "amendment": to_say("Asks to change a record"),
    "hearing": to_say("Hearing"),
    "explanation": to_say("Asks for an explanation"),
    "letter": to_say("Letter to be sent"),
    "incident": to_say("Somebody must be told of an incident"),
    "anomaly": to_say("Unusual reading"),
    "study_destruction": to_say("Data of a study to be destroyed"),
}
LEVELS: Mapping[str, str] = {
    "open": to_say("open"),
    "soon": to_say("due soon"),
    "alert": to_say("urgent"),
    "overdue": to_say("overdue"),
    "violation": to_say("against the law's deadline"),
    "done": to_say("done"),
    "waived": to_say("need not be done"),
}
CASE_STATES: Mapping[str, str] = {
    "open": to_say("open"),
    "fulfilled": to_say("made available"),
    "withdrawn": to_say("taken back"),
    "accepted": to_say("changed as asked"),
    "refused": to_say("refused"),
    "asked": to_say("asked for"),
    "set": to_say("day is set"),
    "decided": to_say("decided"),
    "explained": to_say("explained"),
    "incident": to_say("part of an incident"),
    "closed": to_say("closed"),
    "not_begun": to_say("not begun"),
    "current": to_say("in force"),
    "over": to_say("over"),
    "ended": to_say("ended"),
    "destroyed": to_say("data destroyed"),
}
RECORDS: Mapping[str, str] = {
    "attendance": to_say("Attendance"),
    "roster": to_say("Names, classes and grades"),
    "contact": to_say("Addresses and phone numbers"),
    "messages": to_say("Messages to families"),
    "all": to_say("Everything"),
}
"""Kinds of record that a vendor may be given."""
READ_KINDS: Mapping[str, str] = {
    "read": to_say("read"),
    "hand_out": to_say("handed out"),
    "denied": to_say("denied"),
}
JOB_STATES: Mapping[str, str] = {
    "running": to_say("running"),
    "waiting": to_say("waiting"),
    "failing": to_say("stands still"),
    "stopped": to_say("nobody does it now"),
}
PLACEHOLDERS: Mapping[str, str] = {
    "student": to_say("the student's name"),
    "school": to_say("the school's name"),
    "phone": to_say("the office's phone number; may be empty"),
    "day": to_say("the day; day|short and day|long write it out"),
    "today": to_say("whether that day is today"),
    "whole_day": to_say("whether it is about the whole day"),
    "classes": to_say("the classes that were missed"),
    "time": to_say("the time of arrival; may be empty"),
    "minutes": to_say("minutes late; may be missing"),
    "count": to_say("how many days; count|plural(one='# day', other='# days')"),
    "share": to_say("the share of days missed, in percent"),
    "days": to_say("the days that were missed"),
    "said": to_say("what an earlier message said, for a correction"),
    "now": to_say("what is true now, for a correction"),
    "name": to_say("the connector or plugin that has trouble"),
    "detail": to_say("what the trouble is; may be empty"),
    "link": to_say("this site's address; may be empty"),
    "counts": to_say("how many messages are in each state, for the digest"),
    "problems": to_say("how many messages somebody should look at"),
}
"""What a text of a message may use."""
INTERFACE: Mapping[str, str] = {
    "pulling": to_say("reading"),
    "applying": to_say("writing"),
    "held": to_say("held"),
    "done": to_say("done"),
    "failed": to_say("failed"),
    "added": to_say("added"),
    "changed": to_say("changed"),
    "ended": to_say("ended"),
    "org": to_say("School or district"),
    "academic_session": to_say("Term or year"),
    "course": to_say("Course"),
    "class": to_say("Class"),
    "user": to_say("Person"),
    "enrollment": to_say("Enrolment"),
    "closed": to_say("works"),
    "open": to_say("not asked for now"),
    "half_open": to_say("being tried again"),
    "default": to_say("as delivered"),
    "file": to_say("from the file"),
    "saved": to_say("saved on a page"),
    "environment": to_say("from the environment"),
    "differs": to_say("changed in the SIS"),
    "settled": to_say("settled"),
    "gone": to_say("settled itself"),
    "ours": to_say("what stands here"),
    "theirs": to_say("what the SIS has"),
    "value": to_say("another value"),
}
"""Of runs, rows, breakers, settings and questions."""
