"""What strangers write into mirrored ranges, as etcd tells it: which changes are not ours, and who
is to look at them. It decides nothing of what is written, and knows no node."""
