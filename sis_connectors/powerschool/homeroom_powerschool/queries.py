"""The PowerQueries that plugin.zip brings along: flat rows in pages, each page beginning after a key.

Reading on after the last key (`:after`) instead of by page number keeps pages apart although rows come and go. The
SQL follows PowerSchool's data dictionary and other people's plugins; it has not run on a live PowerSchool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AREA = "org.homeroom.powerschool"

DETAIL = "com.pearson.core.attendance.student_attendance_detail"
CODES = "com.pearson.core.attendance.attendance_code_by_school_date"
ID_MAP = "com.pearson.core.student.student_dcid_id_map"
"""Three of PowerSchool's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg:
    """One `:name` in a query; an array is a list in the request."""

    name: str
    column: str | None = None
    kind: Literal["primitive", "array"] = "primitive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PowerQuery. `columns` are (name in the row, TABLE.FIELD that decides on access), in SELECT's order.

    The first column is the key that `:after` compares with.
    """

    name: str
    description: str
    columns: tuple[tuple[str, str], ...]
    sql: str
    args: tuple[Arg, ...] = (Arg(name="after"), Arg(name="yearid"))


SECTIONS = Query(
    name=f"{AREA}.roster.sections",
    description="Classes of this school year and the next.",
    columns=(
        ("dcid", "SECTIONS.DCID"),
        ("school_dcid", "SCHOOLS.DCID"),
        ("course_dcid", "COURSES.DCID"),
        ("term_dcid", "TERMS.DCID"),
        ("course_name", "COURSES.COURSE_NAME"),
        ("section_number", "SECTIONS.SECTION_NUMBER"),
        ("expression", "SECTIONS.EXTERNAL_EXPRESSION"),
    ),
    sql="""
SELECT sec.dcid, sch.dcid, c.dcid, t.dcid, c.course_name, sec.section_number, sec.external_expression
FROM sections sec
JOIN schools sch ON sch.school_number = sec.schoolid
JOIN courses c ON c.course_number = sec.course_number
JOIN terms t ON t.id = sec.termid AND t.schoolid = sec.schoolid
WHERE t.yearid >= :yearid AND sec.dcid > :after
ORDER BY sec.dcid""",
)

STUDENTS = Query(
    name=f"{AREA}.roster.students",
    description="Active and pre-registered students, each with the people who may be guardians.",
    columns=(
        ("dcid", "STUDENTS.DCID"),
        ("student_number", "STUDENTS.STUDENT_NUMBER"),
        ("first_name", "STUDENTS.FIRST_NAME"),
        ("middle_name", "STUDENTS.MIDDLE_NAME"),
        ("last_name", "STUDENTS.LAST_NAME"),
        ("grade_level", "STUDENTS.GRADE_LEVEL"),
        ("enroll_status", "STUDENTS.ENROLL_STATUS"),
        ("entry_date", "STUDENTS.ENTRYDATE"),
        ("school_dcid", "SCHOOLS.DCID"),
        ("birth_date", "STUDENTS.DOB"),
        ("username", "STUDENTS.STUDENT_WEB_ID"),
        ("email", "EMAILADDRESS.EMAILADDRESS"),
        ("other_schools", "CC.SCHOOLID"),
        ("contacts", "STUDENTCONTACTASSOC.PERSONID"),
    ),
    sql="""
SELECT s.dcid, s.student_number, s.first_name, s.middle_name, s.last_name, s.grade_level, s.enroll_status,
  TO_CHAR(s.entrydate, 'YYYY-MM-DD'), sch.dcid, TO_CHAR(s.dob, 'YYYY-MM-DD'), s.student_web_id,
  (SELECT MIN(e.emailaddress) FROM personemailaddressassoc pe
     JOIN emailaddress e ON e.emailaddressid = pe.emailaddressid
    WHERE pe.personid = s.person_id AND pe.isprimaryemailaddress = 1),
  (SELECT LISTAGG(o.dcid, ',') WITHIN GROUP (ORDER BY o.dcid)
     FROM (SELECT DISTINCT os.dcid, cc.studentid FROM cc JOIN schools os ON os.school_number = cc.schoolid
           WHERE cc.termid >= :yearid * 100) o
    WHERE o.studentid = s.id AND o.dcid <> sch.dcid),
  (SELECT LISTAGG(a.personid || ':' || TO_CHAR(d.startdate, 'YYYY-MM-DD') || ':' || TO_CHAR(d.enddate, 'YYYY-MM-DD')
            || ':' || d.iscustodial || ':'
            || (SELECT COUNT(*) FROM guardianpersonassoc gp JOIN guardianstudent gs ON gs.guardianid = gp.guardianid
                WHERE gp.personid = a.personid AND gs.studentsdcid = s.dcid)
            || ':' || d.liveswithflg || ':' || d.schoolpickupflg, ',') WITHIN GROUP (ORDER BY a.personid)
     FROM studentcontactassoc a
     JOIN studentcontactdetail d ON d.studentcontactassocid = a.studentcontactassocid AND d.isactive = 1
    WHERE a.studentdcid = s.dcid)
FROM students s JOIN schools sch ON sch.school_number = s.schoolid
WHERE s.enroll_status IN (0, -1) AND s.dcid > :after
ORDER BY s.dcid""",
)

STAFF = Query(
    name=f"{AREA}.roster.staff",
    description="People with an enabled place at a school or at the district office.",
    columns=(
        ("dcid", "USERS.DCID"),
        ("staff_number", "USERS.TEACHERNUMBER"),
        ("first_name", "USERS.FIRST_NAME"),
        ("middle_name", "USERS.MIDDLE_NAME"),
        ("last_name", "USERS.LAST_NAME"),
        ("email", "USERS.EMAIL_ADDR"),
        ("username", "USERS.TEACHERLOGINID"),
        ("title", "USERS.TITLE"),
        ("affiliations", "SCHOOLSTAFF.STATUS"),
    ),
    sql="""
SELECT u.dcid, u.teachernumber, u.first_name, u.middle_name, u.last_name, u.email_addr, u.teacherloginid, u.title,
  (SELECT LISTAGG(NVL(sch.dcid, 0) || ':' || ss.status || ':' || ss.staffstatus, ',') WITHIN GROUP (ORDER BY ss.dcid)
     FROM schoolstaff ss LEFT JOIN schools sch ON sch.school_number = ss.schoolid
    WHERE ss.users_dcid = u.dcid)
FROM users u
WHERE EXISTS (SELECT 1 FROM schoolstaff ss WHERE ss.users_dcid = u.dcid AND ss.status = 1) AND u.dcid > :after
ORDER BY u.dcid""",
    args=(Arg(name="after"),),
)

CONTACTS = Query(
    name=f"{AREA}.roster.contacts",
    description="Contacts of active and pre-registered students.",
    columns=(
        ("id", "PERSON.ID"),
        ("first_name", "PERSON.FIRSTNAME"),
        ("middle_name", "PERSON.MIDDLENAME"),
        ("last_name", "PERSON.LASTNAME"),
        ("email", "EMAILADDRESS.EMAILADDRESS"),
        ("phone", "PHONENUMBER.PHONENUMBER"),
        ("sms", "PHONENUMBER.PHONENUMBER"),
        ("relations", "STUDENTCONTACTDETAIL.ISCUSTODIAL"),
    ),
    sql="""
SELECT p.id, p.firstname, p.middlename, p.lastname,
  (SELECT MIN(e.emailaddress) FROM personemailaddressassoc pe
     JOIN emailaddress e ON e.emailaddressid = pe.emailaddressid
    WHERE pe.personid = p.id AND pe.isprimaryemailaddress = 1),
  (SELECT MIN(n.phonenumber) KEEP (DENSE_RANK FIRST ORDER BY pp.phonenumberpriorityorder)
     FROM personphonenumberassoc pp JOIN phonenumber n ON n.phonenumberid = pp.phonenumberid
    WHERE pp.personid = p.id),
  (SELECT MIN(n.phonenumber) KEEP (DENSE_RANK FIRST ORDER BY pp.phonenumberpriorityorder)
     FROM personphonenumberassoc pp JOIN phonenumber n ON n.phonenumberid = pp.phonenumberid
    WHERE pp.personid = p.id AND n.issms = 1),
  (SELECT LISTAGG(p.id || ':' || TO_CHAR(d.startdate, 'YYYY-MM-DD') || ':' || TO_CHAR(d.enddate, 'YYYY-MM-DD')
            || ':' || d.iscustodial || ':'
            || (SELECT COUNT(*) FROM guardianpersonassoc gp JOIN guardianstudent gs ON gs.guardianid = gp.guardianid
                WHERE gp.personid = p.id AND gs.studentsdcid = s.dcid)
            || ':' || d.liveswithflg || ':' || d.schoolpickupflg, ',') WITHIN GROUP (ORDER BY s.dcid)
     FROM studentcontactassoc a
     JOIN studentcontactdetail d ON d.studentcontactassocid = a.studentcontactassocid AND d.isactive = 1
     JOIN students s ON s.dcid = a.studentdcid AND s.enroll_status IN (0, -1)
    WHERE a.personid = p.id)
FROM person p
WHERE p.isactive = 1 AND p.id > :after
  AND EXISTS (SELECT 1 FROM studentcontactassoc a JOIN students s ON s.dcid = a.studentdcid
              WHERE a.personid = p.id AND s.enroll_status IN (0, -1))
ORDER BY p.id""",
    args=(Arg(name="after"),),
)

ENROLLMENTS = Query(
    name=f"{AREA}.roster.enrollments",
    description="Which student is, or was this school year, in which class.",
    columns=(
        ("dcid", "CC.DCID"),
        ("student_dcid", "STUDENTS.DCID"),
        ("section_dcid", "SECTIONS.DCID"),
        ("school_dcid", "SCHOOLS.DCID"),
        ("entry_date", "CC.DATEENROLLED"),
        ("exit_date", "CC.DATELEFT"),
        ("dropped", "CC.SECTIONID"),
    ),
    sql="""
SELECT cc.dcid, s.dcid, sec.dcid, sch.dcid, TO_CHAR(cc.dateenrolled, 'YYYY-MM-DD'), TO_CHAR(cc.dateleft, 'YYYY-MM-DD'),
  CASE WHEN cc.sectionid < 0 THEN 1 ELSE 0 END
FROM cc
JOIN students s ON s.id = cc.studentid AND s.enroll_status IN (0, -1)
JOIN sections sec ON sec.id = ABS(cc.sectionid)
JOIN schools sch ON sch.school_number = cc.schoolid
WHERE ABS(cc.termid) >= :yearid * 100 AND cc.dcid > :after
ORDER BY cc.dcid""",
)

TEACHERS = Query(
    name=f"{AREA}.roster.teachers",
    description="Teachers and co-teachers of classes.",
    columns=(
        ("id", "SECTIONTEACHER.ID"),
        ("user_dcid", "USERS.DCID"),
        ("section_dcid", "SECTIONS.DCID"),
        ("school_dcid", "SCHOOLS.DCID"),
        ("lead", "ROLEDEF.NAME"),
        ("start_date", "SECTIONTEACHER.START_DATE"),
        ("end_date", "SECTIONTEACHER.END_DATE"),
    ),
    sql="""
SELECT st.id, ss.users_dcid, sec.dcid, sch.dcid, CASE WHEN rd.name = 'Lead Teacher' THEN 1 ELSE 0 END,
  TO_CHAR(st.start_date, 'YYYY-MM-DD'), TO_CHAR(st.end_date, 'YYYY-MM-DD')
FROM sectionteacher st
JOIN sections sec ON sec.id = st.sectionid
JOIN terms t ON t.id = sec.termid AND t.schoolid = sec.schoolid
JOIN schools sch ON sch.school_number = sec.schoolid
JOIN schoolstaff ss ON ss.id = st.teacherid AND ss.status = 1
LEFT JOIN roledef rd ON rd.id = st.roleid
WHERE t.yearid >= :yearid AND st.id > :after
ORDER BY st.id""",
)

MEETINGS = Query(
    name=f"{AREA}.attendance.meetings",
    description="When each class of a school meets on one day.",
    columns=(
        ("section_dcid", "SECTIONS.DCID"),
        ("period_id", "PERIOD.ID"),
        ("start_time", "BELL_SCHEDULE_ITEMS.START_TIME"),
        ("end_time", "BELL_SCHEDULE_ITEMS.END_TIME"),
    ),
    sql="""
SELECT sec.dcid, p.id, b.start_time, b.end_time
FROM calendar_day cd
JOIN cycle_day cy ON cy.id = cd.cycle_day_id
JOIN section_meeting m ON m.schoolid = cd.schoolid AND m.cycle_day_letter = cy.letter AND m.year_id = :yearid
JOIN period p ON p.schoolid = m.schoolid AND p.year_id = m.year_id AND p.period_number = m.period_number
JOIN bell_schedule_items b ON b.bell_schedule_id = cd.bell_schedule_id AND b.period_id = p.id
JOIN sections sec ON sec.id = m.sectionid
WHERE cd.id = :calendar_day
ORDER BY sec.dcid, b.start_time""",
    args=(Arg(name="calendar_day"), Arg(name="yearid")),
)

ENROLLMENT_IDS = Query(
    name=f"{AREA}.attendance.enrollment_ids",
    description="By which ids attendance refers to a student's classes on one day.",
    columns=(
        ("cc_id", "CC.ID"),
        ("student_dcid", "STUDENTS.DCID"),
        ("student_id", "STUDENTS.ID"),
        ("section_dcid", "SECTIONS.DCID"),
    ),
    sql="""
SELECT cc.id, s.dcid, s.id, sec.dcid
FROM students s
JOIN cc ON cc.studentid = s.id
JOIN sections sec ON sec.id = cc.sectionid
WHERE s.dcid IN (:students)
  AND TO_DATE(:day, 'YYYY-MM-DD') >= cc.dateenrolled AND TO_DATE(:day, 'YYYY-MM-DD') < cc.dateleft
ORDER BY cc.id""",
    args=(Arg(name="students", column="STUDENTS.DCID", kind="array"), Arg(name="day")),
)

OURS: tuple[Query, ...] = (
    SECTIONS,
    STUDENTS,
    STAFF,
    CONTACTS,
    ENROLLMENTS,
    TEACHERS,
    MEETINGS,
    ENROLLMENT_IDS,
)
