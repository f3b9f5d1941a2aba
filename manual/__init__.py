"""What is generated out of the code, so that it cannot part from it: `python -m manual` writes it.

Documents for people are here, the reference and the schema of the product in `zk2etcd`, which also
prints them.
"""
