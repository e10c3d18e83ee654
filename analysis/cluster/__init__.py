"""Several machines, by Ray: where models are held, and shards of a fit on other nodes. Nothing here is imported, and no
Ray, unless a cluster is named (``attune run --ray ADDRESS``)."""
