"""An AWS on this machine: moto's server, with one thing as AWS does it. `python -m aicfg_pipeline.demo.aws PORT`.

moto is a development dependency; without it the demo's functions and logs are "not configured".
"""

from __future__ import annotations

import sys
from typing import Any


def stamp_deploys() -> None:
    """Let a deploy change a function's `LastModified`, as it does at AWS; moto keeps the time it was made."""
    from moto.awslambda.models import LambdaFunction
    from moto.core.utils import iso_8601_datetime_with_nanoseconds

    update = LambdaFunction.update_function_code
    if getattr(update, "stamps", False):
        return

    def stamped(self: Any, *arguments: Any, **options: Any) -> Any:
        self.last_modified = iso_8601_datetime_with_nanoseconds()
        return update(self, *arguments, **options)

    stamped.stamps = True  # type: ignore[attr-defined]
    LambdaFunction.update_function_code = stamped  # type: ignore[method-assign]


def main() -> None:
    """Serve until told to stop."""
    from moto.server import main as serve

    stamp_deploys()
    serve(["-H", "127.0.0.1", "-p", sys.argv[1]])


if __name__ == "__main__":
    main()
