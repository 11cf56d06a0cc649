"""An index that holds all that a report counts, so that a year of a large district is read without its rows."""


def up(migrator, db):
    columns = ("school_id", "school_day", "student_id", "class_id", "status")
    migrator.migrate(migrator.add_index("attendance_records", columns, unique=False))
