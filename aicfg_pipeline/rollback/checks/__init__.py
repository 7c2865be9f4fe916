"""What `verify` looks at, a subject a file. A check reads only; what stops on it is for the steps to say."""
