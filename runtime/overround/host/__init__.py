"""A read-only view of the machine. Changing it is the business of ``tuning/``."""
