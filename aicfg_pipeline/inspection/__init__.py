"""From a live database to a migration's folder, and from a folder to how the database differs from it.

Reads only. What a rollback does with a folder is `rollback`'s; how the commands are called is `cli`'s.
"""
