"""What a delete that was seen live waits for: the node to come back, or, where too many went at
once, a person. Pure; it knows nothing of walks, whose deletes are `model/guard`'s."""
