"""A rehearsal: the whole story of a rollback on a copy, timed, so that production knows what to expect.

The target is only read. What a rehearsal looks like to a person, and which jobs ask for one, is the orchestration's.
"""
