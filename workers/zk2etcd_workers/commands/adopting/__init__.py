"""How keys that are there already become ours, where that goes by marks: a person says so.

It knows no supervisor and owns no shard: what it puts is marks, each under the compare of its key.
"""
