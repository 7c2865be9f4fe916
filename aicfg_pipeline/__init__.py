"""Takes a live PostgreSQL database back across a table-rename migration, with nothing lost and everything undoable.

Data flows one way: spec -> postgres -> rollback -> orchestration. This module holds nothing but the version.
"""

__version__ = "0.1.0"
