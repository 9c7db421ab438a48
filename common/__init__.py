"""Values, errors, settings and progress that every layer shares."""
