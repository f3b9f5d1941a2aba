"""What etcd answers only over a stream. It knows members and their cluster, and no other request:
nothing of what keys mean, or of what follows from an answer."""
