"""The migration as data: `model` (what it is), `load` (migration.yaml), `ddl` (what DDL says), `blocks` (named SQL).

Pure: no server is asked anything here.
"""
