"""Runs: the loop, the device, checkpoints, statistics, and what a run folder holds."""
