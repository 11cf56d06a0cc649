"""The objects of Qmlativ that are read and written, with the fields of each: what an Integration Access must grant.

Names are as two other programs' sources have them; which of them a district's Skyward shows depends on the state and
on what was granted, so `check` asks.
"""

from __future__ import annotations

from homeroom_skyward.generic import Table

SCHOOL = Table("Enrollment", "School", "SchoolID", ("SchoolID", "Code", "Name"))
ENTITY_SCHOOL = Table(
    "Enrollment",
    "EntitySchool",
    "EntitySchoolID",
    ("EntitySchoolID", "EntityID", "SchoolID", "IsDefaultSchoolForEntity"),
)
CALENDAR = Table(
    "Attendance",
    "Calendar",
    "CalendarID",
    ("CalendarID", "Description", "EntityID", "IsDefault", "StartDate", "EndDate"),
)
COURSE = Table(
    "Scheduling", "Course", "CourseID", ("CourseID", "CourseCode", "Description", "EntityID", "IsCurrentSchoolYear")
)
SECTION = Table(
    "Scheduling",
    "Section",
    "SectionID",
    ("SectionID", "Code", "CourseCodeSectionCodeCourseDescription", "CourseID", "EntityID", "IsCurrentYear"),
)
MEET = Table("Scheduling", "Meet", "MeetID", ("MeetID", "SectionID"))
MEET_SUMMARY = Table("Scheduling", "MeetSummary", "MeetID", ("MeetID", "Period"))
STUDENT = Table(
    "Student",
    "Student",
    "StudentID",
    ("StudentID", "NameID", "StudentNumber", "Grade", "HasStudentEntityYearForCurrentSchoolYear"),
)
ENTRY = Table(
    "Enrollment",
    "EntryWithdrawal",
    "EntryWithdrawalID",
    ("EntryWithdrawalID", "StudentID", "SchoolID", "IsDefaultEntity", "StartDate", "EndDate"),
)
NAME = Table(
    "Demographics",
    "Name",
    "NameID",
    ("NameID", "FirstName", "MiddleName", "LastName", "FirstNameLegal", "LastNameLegal", "BirthDate"),
)
EMAIL = Table("Demographics", "NameEmail", "NameEmailID", ("NameEmailID", "NameID", "EmailAddress", "Rank"))
STAFF = Table("Staff", "Staff", "StaffID", ("StaffID", "NameID", "StaffNumber", "IsActiveForDistrict"))
STAFF_YEAR = Table(
    "Staff",
    "StaffEntityYear",
    "StaffEntityYearID",
    ("StaffEntityYearID", "StaffID", "EntityID", "IsActive", "IsTeacher"),
)
STUDENT_SECTION = Table(
    "Scheduling",
    "StudentSection",
    "StudentSectionID",
    ("StudentSectionID", "SectionID", "StudentID", "StartDate", "EndDate", "IsForCurrentSchoolYear", "ModifiedTime"),
)
STAFF_MEET = Table("Scheduling", "StaffMeet", "StaffMeetID", ("StaffMeetID", "SectionID", "StaffID", "IsPrimary"))

ROSTER = (
    *(SCHOOL, ENTITY_SCHOOL, CALENDAR, COURSE, SECTION, MEET, MEET_SUMMARY, STUDENT, ENTRY, NAME, EMAIL, STAFF),
    *(STAFF_YEAR, STUDENT_SECTION, STAFF_MEET),
)

CALENDAR_DAY = Table("Attendance", "CalendarDay", "CalendarDayID", ("CalendarDayID", "CalendarID", "Date"))
PERIOD = Table("Attendance", "AttendancePeriod", "AttendancePeriodID", ("AttendancePeriodID", "EntityID", "Code"))
TYPE = Table("Attendance", "AttendanceType", "AttendanceTypeID", ("AttendanceTypeID", "EntityID", "Code"))
REASON = Table("Attendance", "AttendanceReason", "AttendanceReasonID", ("AttendanceReasonID", "EntityID", "Code"))
STUDENT_DAY = Table(
    "Attendance",
    "StudentAttendance",
    "StudentAttendanceID",
    ("StudentAttendanceID", "StudentID", "CalendarDayID", "EntityID", "SchoolYearID"),
)
STUDENT_PERIOD = Table(
    "Attendance",
    "StudentAttendancePeriod",
    "StudentAttendancePeriodID",
    (
        *("StudentAttendancePeriodID", "StudentAttendanceID", "AttendancePeriodID", "AttendanceTypeID"),
        *("AttendanceReasonID", "StudentSectionID", "EntityIDCourse", "EntityIDAttendancePeriod"),
    ),
)

READ_FOR_ATTENDANCE = (CALENDAR_DAY, PERIOD, TYPE, REASON, STUDENT_DAY, STUDENT_PERIOD)
WRITTEN = (STUDENT_DAY, STUDENT_PERIOD)

GRANTS = (
    "read on " + ", ".join(str(table) for table in READ_FOR_ATTENDANCE) + "; create on Attendance/StudentAttendance; "
    "create, update and delete on Attendance/StudentAttendancePeriod"
)
"""What the district grants in an Integration Access record before attendance can be written."""
