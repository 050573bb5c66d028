"""The path between generator and server: what its round trip costs, and a delay added to it."""
