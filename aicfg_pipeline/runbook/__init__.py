"""The runbook's steps and checks outside the database, over `services`. What a service is asked for is theirs."""
