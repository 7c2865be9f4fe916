"""What the tests are made with: servers, databases, writers. No tests in here."""
