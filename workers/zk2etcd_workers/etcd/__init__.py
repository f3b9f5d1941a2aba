"""etcd's side: ranges, Txns and leases over the members of one cluster. The only room with etcd3
and grpc in it; it knows nothing of ZooKeeper, shards or our own keys."""
