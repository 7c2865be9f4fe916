"""Four threads that write through the view as fast as they get answers, and note when each answer came.

The notes are plain numbers and Python's garbage collector is off meanwhile: a collection over a million small objects
stops all threads for 150 ms and would be taken for a wait.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from array import array
from collections.abc import Iterator
from hashlib import md5

import psycopg

from benchmarks.server import WRITER

UPDATE = "UPDATE org_prompt_engineering SET custom_context_prompt = %s, response_tone = %s WHERE id = %s"
SETTINGS = "UPDATE sys_rag SET max_context_tokens_global = %s"
TONES = ("professional", "casual", "technical", "simple", None)


class Writers:
    """Context manager: `threads` writers on rows chosen at random, from the block's begin to its end."""

    def __init__(self, url: str, rows: int, threads: int = 4) -> None:
        self.url, self.rows = url, rows
        self._spans = [(array("d"), array("d")) for _ in range(threads)]  # of each thread: when asked, when answered
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self) -> Writers:
        gc.collect()
        gc.disable()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=120)
        gc.enable()

    def rate(self, began: float, ended: float) -> float:
        """Writes per second that were acknowledged in a span of time."""
        return sum(began <= e <= ended for _, answered in self._spans for e in answered) / max(ended - began, 1e-9)

    def longest_wait(self, began: float, ended: float) -> float:
        """Seconds of the longest write that was under way in a span of time."""
        return max((e - b for b, e in self._pairs() if e >= began and b <= ended), default=0.0)

    def _pairs(self) -> Iterator[tuple[float, float]]:
        for asked, answered in self._spans:
            yield from zip(asked, answered, strict=False)  # the last answer may still be on its way

    def _write(self, number: int) -> None:
        asked, answered = self._spans[number]
        chosen = random.Random(number)  # noqa: S311 - the same rows in every run
        with psycopg.connect(self.url, autocommit=True, prepare_threshold=None, application_name=WRITER) as connection:
            count = 0
            while not self._stop.is_set():
                count += 1
                key = md5(f"aicfg prompt {chosen.randint(1, self.rows)}".encode(), usedforsecurity=False).hexdigest()
                began = time.time()
                try:
                    if count % 50 == 0:
                        connection.execute(SETTINGS, (chosen.randrange(1, 9999),))
                    else:
                        connection.execute(UPDATE, (f"written {number}/{count}", chosen.choice(TONES), key))
                except psycopg.Error as error:
                    self.errors.append(f"{error.sqlstate}: {error}")
                    if connection.closed:
                        return
                else:
                    asked.append(began)
                    answered.append(time.time())
