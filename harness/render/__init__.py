"""Output for people and other tools: figures, tables, the page, exports."""
