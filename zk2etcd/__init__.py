"""zk2etcd mirrors ZooKeeper subtrees into etcd v3, continuously: the control plane. It knows shards
as units of work, and starts the workers that know nodes and keys."""
