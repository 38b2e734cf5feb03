"""How good images are: distances of features, and of pictures to their targets. Imports no other room."""
