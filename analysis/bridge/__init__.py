"""What asks two methods at once: attention's subspaces about what steering does to a head."""
