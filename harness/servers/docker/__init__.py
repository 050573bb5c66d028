"""Servers in containers, over Compose and the `docker` SDK."""
