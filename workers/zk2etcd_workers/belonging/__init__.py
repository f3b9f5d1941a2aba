"""Which keys of a shared range are ours, where that goes by marks (`sync.ownership: marks`).

A key is ours if its mark says the revision at which it was created: mostly by having been created
at the same one, in the same Txn; a mark that was put later (`adopt`) says it in its value. So a key
that somebody deleted and made anew is not ours any more, and a copy of the keys alone is nobody's.
"""
