"""The event-store lab: measure what an event store promises, and what the promise costs."""

__version__ = "0.1.0"
