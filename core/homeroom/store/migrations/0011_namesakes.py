"""An index by name and birth date together: namesakes grow with the district, those born on the same day do not.

Contacts lose an index that their unique one begins with.
"""


def up(migrator, db):
    migrator.migrate(
        migrator.drop_index("users", "user_sort_name"),
        migrator.add_index("users", ("sort_name", "birth_date"), unique=False),
        migrator.drop_index("contacts", "contact_user_id"),
    )
