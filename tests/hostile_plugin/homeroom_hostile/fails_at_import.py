"""A plugin whose import fails."""

raise RuntimeError("the library it needs is not there")
