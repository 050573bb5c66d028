"""Servers as processes of the lab, which starts, kills, pauses and removes them."""
