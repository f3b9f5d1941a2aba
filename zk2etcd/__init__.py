"""zk2etcd mirrors ZooKeeper subtrees into etcd v3, continuously."""
