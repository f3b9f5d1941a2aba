"""What is asked again and again, once for all following shards of a worker. It knows of a shard
only its seat: nothing of walks, bases or writes."""
