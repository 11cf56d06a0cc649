"""REST: one blueprint per resource, every route declared with `@operation`, every error problem+json."""
