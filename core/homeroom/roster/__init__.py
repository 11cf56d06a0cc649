"""People, schools, terms, calendars, classes and enrolments: plain functions over the store's models."""
