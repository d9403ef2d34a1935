"""Migrations of the ledger's schema, shipped with the package and run by ``database.migrate``."""
