"""What several technologies' adapters need."""
