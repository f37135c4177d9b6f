"""A table of structures to a table of patterns: shard by shard, on all cores or a cluster, resumable."""
