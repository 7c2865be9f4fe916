"""Where exports and reports are kept: a folder, or a bucket of S3, Google Cloud Storage or Azure.

| module | what is there |
|---|---|
| `kept` | what every store can do, and opening one by its name |
| `folder` | a folder of this machine |
| `bucket` | a bucket, by obstore |
| `durable` | whether a folder outlives the container that it is in |

What is kept, and when it counts, belongs to whoever writes it.
"""
