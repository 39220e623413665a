"""Asking a web service politely: a limited rate, and longer and longer waits while it is busy."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

import requests

LONGEST_BACKOFF = 60.0  # s, before jitter

_INTERRUPTED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_Read = TypeVar("_Read")


class DownloadError(ValueError):
    """Something that could not be fetched; the message names it and says how to go on."""


class BadAnswer(ValueError):
    """An answer that is not what was asked for; asking again may help."""


class _Busy(BadAnswer):
    """The service asks for patience: (what it said, seconds to wait at least)."""


@dataclass
class Client:
    """A polite caller: at most `rate` requests a second, longer and longer waits after failures, `tries` in all.

    Times are in seconds. `sleep` and `clock` are parameters so that tests need not wait.
    """

    rate: float = 1.0
    tries: int = 8
    timeout: float = 180.0
    longest_wait: float = 900.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _session: requests.Session = field(default_factory=requests.Session, init=False)
    _next: float = field(default=0.0, init=False)

    def __post_init__(self):
        if not self.rate > 0 or self.tries < 1:
            raise DownloadError(f"rate {self.rate}, tries {self.tries}: expected a rate above 0 and 1 try or more")

    def get(self, url: str, read: Callable[[bytes], _Read], say: Callable[[str], None] = lambda text: None) -> _Read:
        """What `read` makes of the answer's bytes; asked again while it raises BadAnswer.

        Raises:
            DownloadError: every try failed, the service asks for too long a wait, or it refuses the request.
        """
        for attempt in range(self.tries):
            self._keep_rate()
            try:
                return read(self._body(url))
            except BadAnswer as error:
                failure = error.args[0]
                asked = error.args[1] if isinstance(error, _Busy) else 0.0
            if asked > self.longest_wait:
                raise DownloadError(f"{url}: {failure}, asks to wait {asked:.0f} s; run the same command later to go on from here")
            if attempt + 1 < self.tries:
                wait = max(asked, min(2.0**attempt, LONGEST_BACKOFF) * random.uniform(0.5, 1.5))
                say(f"{failure}; again in {wait:.0f} s")
                self.sleep(wait)
        raise DownloadError(f"{url}: failed {self.tries} times, at last: {failure}; run the same command again to go on from here")

    def _keep_rate(self) -> None:
        now = self.clock()
        if now < self._next:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.rate

    def _body(self, url: str) -> bytes:
        try:
            answer = self._session.get(url, timeout=self.timeout, headers={"User-Agent": "crystalgen"})
        except _INTERRUPTED as error:
            raise BadAnswer(f"{type(error).__name__} ({error})") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _Busy(f"HTTP {answer.status_code}", _seconds(answer.headers.get("Retry-After")))
        if answer.status_code != 200:
            raise DownloadError(f"{url}: HTTP {answer.status_code} ({answer.reason}); refused")
        return answer.content


def _seconds(header: str | None) -> float:
    """Seconds to wait by a Retry-After header, which holds seconds or a date."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
