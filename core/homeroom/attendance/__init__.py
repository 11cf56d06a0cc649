"""Attendance: sessions, check-ins, marks and corrections, codes, absences told ahead, day status and statistics.

Every record has one row in `attendance_records` (the database forbids a second for one student in one session), every
earlier version one in `attendance_versions`, and the class's counters change in the same transaction. Each change
enters the journal: `session.opened`, `session.closed`, `attendance.recorded`, `attendance.corrected`,
`attendance.withdrawn`, `absence.reported`, `absence.decided`, `attendance_code.saved`.
"""
