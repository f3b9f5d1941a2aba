"""Who may write a shard, and what zk2etcd keeps for itself in etcd. It knows etcd; nothing of
ZooKeeper, trees or the keys that are mirrored."""
