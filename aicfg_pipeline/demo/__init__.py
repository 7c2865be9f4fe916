"""A small project as the runbook has it, for the demo and the tests: code in git, a deploy script, an app, an AWS.

Nothing of it is needed, or touched, when the pipeline works on a database of one's own.
"""
