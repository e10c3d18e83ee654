"""What leaves the house: a board as a handover, what is hidden in it, and the files that are made of it."""
