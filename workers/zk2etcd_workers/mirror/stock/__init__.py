"""How a shard comes to follow: by a base, which looks at everything; or, where that is safe, by
what ZooKeeper says has changed since all was in etcd. It knows nothing of how it became ours."""
