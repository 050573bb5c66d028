"""The load generator: intended start times, the loops that keep them, and what gets recorded."""
