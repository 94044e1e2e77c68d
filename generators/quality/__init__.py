"""How good and how various generated pictures are, in the features of a stated network."""
