"""What left of the whole district, by time: it is looked up for every page of anybody's record of disclosures."""


def up(migrator, db):
    db.execute_sql("CREATE INDEX ferpa_ledger_whole ON ferpa_ledger (at) WHERE whole_district = 1")


def down(migrator, db):
    db.execute_sql("DROP INDEX ferpa_ledger_whole")
