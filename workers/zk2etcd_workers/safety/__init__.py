"""What holds a mirror back: the delete guard's record, the ensemble's identity, a pause. It decides
whether a shard may go on, not what is written then."""
