"""What every phase of one shard's mirror works with: its dirty paths, its Txns, its gauges. It
knows no order of phases."""
