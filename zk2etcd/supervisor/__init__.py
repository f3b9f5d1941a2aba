"""The loop that owns the workers, and what it does between two turns. It knows shards as units of
work; nothing of nodes, keys, ZooKeeper, etcd or HTTP."""
