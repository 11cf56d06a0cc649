"""A plugin whose import fails an assertion, which stevedore lets through."""

raise AssertionError("never")
