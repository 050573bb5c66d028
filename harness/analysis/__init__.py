"""Statistics and decisions from stored numbers: frames in, frames out. No server, no driver."""
