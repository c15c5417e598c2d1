"""What a user writes: declarations that build specs and do nothing else, and `connect`.

A wrong declaration fails where it is written, with what is wrong, why, and the valid values.
"""
