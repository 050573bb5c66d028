"""Correct histories made at random, and every way to break one."""
