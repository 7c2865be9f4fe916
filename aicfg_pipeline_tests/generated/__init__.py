"""Whole databases made at random, each taken through rollback, undo, rollback and drop, and judged by witnesses of its own."""
