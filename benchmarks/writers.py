"""Four threads that write through the view as fast as they get answers, and note when each answer came."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from hashlib import md5

import psycopg

UPDATE = "UPDATE org_prompt_engineering SET custom_context_prompt = %s, response_tone = %s WHERE id = %s"
SETTINGS = "UPDATE sys_rag SET max_context_tokens_global = %s"
TONES = ("professional", "casual", "technical", "simple", None)


@dataclass(frozen=True)
class Answer:
    """One acknowledged write: from when to when it took, by `time.time()`."""

    began: float
    ended: float

    @property
    def waited(self) -> float:
        """Seconds until the answer."""
        return self.ended - self.began


class Writers:
    """Context manager: `threads` writers on rows chosen at random, from the block's begin to its end."""

    def __init__(self, url: str, rows: int, threads: int = 4) -> None:
        self.url, self.rows = url, rows
        self.answers: list[Answer] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=120)

    def rate(self, began: float, ended: float) -> float:
        """Writes per second that were acknowledged in a span of time."""
        return sum(began <= a.ended <= ended for a in self.answers) / max(ended - began, 1e-9)

    def longest_wait(self, began: float, ended: float) -> float:
        """Seconds of the longest write that was under way in a span of time."""
        return max((a.waited for a in self.answers if a.ended >= began and a.began <= ended), default=0.0)

    def _write(self, number: int) -> None:
        chosen = random.Random(number)  # noqa: S311 - the same rows in every run
        with psycopg.connect(self.url, autocommit=True, prepare_threshold=None) as connection:
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
                    self.answers.append(Answer(began, time.time()))
