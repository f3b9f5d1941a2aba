"""The life of one shard: own, connect, watch, base, follow, full sync, and back after any doubt. It
is given callables and knows no pipe, no other shard and no supervisor."""
