"""Settings: the schema and the loader."""
