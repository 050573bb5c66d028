"""What checks are built from: context, workers, races, probes, evidence, matrix."""
