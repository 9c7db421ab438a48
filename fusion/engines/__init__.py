"""Engines: each looks at two faces and returns a fusion field."""
