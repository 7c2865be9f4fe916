"""The rollback engine: one file a step, in running order: state, plan, copy_back, compare, cut_over, verify, drop; undo.

Every step validates, acts and records, in that order. Dagster does not belong here.
"""
