"""ZooKeeper's side: one session, its requests and events, whatever the servers speak. The only room
with kazoo in it; it knows nothing of etcd, nor what its nodes are read for."""
