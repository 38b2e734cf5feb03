"""A trained generator behind HTTP: one thread makes the images, those that are asked for together in one forward."""
