"""Serves the deployed handler over HTTP, as API Gateway and Lambda do: `serve.py PORT FOLDER`. Errors go to the log."""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def main():
    """Serve until told to stop."""
    port, folder = int(sys.argv[1]), sys.argv[2]
    sys.path.insert(0, folder)
    from lambda_function import lambda_handler

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                made = lambda_handler({"path": self.path, "headers": headers}, None)
            except Exception as error:
                first = str(error).splitlines()[0]
                log(f"[ERROR] {type(error).__name__}: {first} (GET {self.path})")
                made = {"statusCode": 500, "body": '{"message": "Internal server error"}'}
            body = made["body"].encode()
            self.send_response(made["statusCode"])
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    ThreadingHTTPServer.allow_reuse_address = True
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


LOCK = threading.Lock()


def log(line):
    """Write to standard error, and to CloudWatch where there is one."""
    print(line, file=sys.stderr, flush=True)
    url, group = os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("LOG_GROUP")
    if not (url and group):
        return
    import boto3

    with LOCK:
        logs = boto3.client("logs", endpoint_url=url, region_name=os.environ["AWS_DEFAULT_REGION"])
        event = {"timestamp": int(time.time() * 1000), "message": line}
        logs.put_log_events(logGroupName=group, logStreamName="app", logEvents=[event])


if __name__ == "__main__":
    main()
