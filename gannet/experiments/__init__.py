"""What plays and reads whole runs: one for each seed, comparisons, sweeps."""
