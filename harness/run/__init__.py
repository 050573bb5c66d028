"""Running a scenario: for each trial get a server, connect, prepare, measure, verify, write."""
