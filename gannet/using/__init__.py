"""What the commands do that use a generator: its latents, pictures and data together, with files and progress."""
