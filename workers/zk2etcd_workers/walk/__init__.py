"""Both sides of a shard as streams in the order of the etcd keys, in bounded memory. It reads, and
knows neither what is written nor why the walk is made."""
