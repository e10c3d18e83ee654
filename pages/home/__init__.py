"""The home page: what Attune is, and where to begin."""
