"""How a shard that follows comes to know what differs all the same, beside what ZooKeeper tells it.
What is done about it is `mirror/repair`'s."""
