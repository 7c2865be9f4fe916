"""What is done to one pair of tables. When to do it, and in which transaction, is for the steps to say."""
