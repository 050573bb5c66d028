"""A store as somebody else might write one, and its test-suite of five lines."""
