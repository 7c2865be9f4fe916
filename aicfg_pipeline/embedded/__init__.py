"""The PostgreSQL that comes in a wheel, for the demo and for Dagster's storage; production needs none of it.

What is done to a database does not belong here.
"""
