"""A worker's lease in etcd, and what hangs on it although it should not. It knows etcd; of our own
keys only that owner keys are among them, and nothing of shards."""
