"""A walk that reads what etcd has, without listing it: ZooKeeper's counts of children say whether
that is all."""
