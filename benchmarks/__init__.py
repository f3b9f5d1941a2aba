"""Speed and memory beside bare scripts that do the same work, in the same run, on real servers.

A figure alone says more about the machine than about the program; a ratio against a plain, honest
script, measured from outside by the same observer, says what the safety of a mirror costs.
"""
