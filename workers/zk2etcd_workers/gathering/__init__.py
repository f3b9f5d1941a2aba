"""Who mirrors below this state prefix, and what each has: read and watched in etcd; and what we say
of ourselves there. It knows our own keys and etcd, and nothing of ZooKeeper, walks or writes."""
