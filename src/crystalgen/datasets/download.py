"""Ask a web service politely: at a limited rate, with longer and longer waits while it fails."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import requests
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

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


@dataclass
class Client:
    """Make at most `rate` requests a second, and `tries` of each; all times are in seconds.

    urllib3's Retry counts the tries and says how long to wait; it isn't mounted on the session, since an answer with status 200
    may be a failure too. `sleep` and `clock` are parameters so that tests need not wait.
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

    def get(self, url: str, read: Callable[[bytes], _Read] = bytes, say: Callable[[str], None] = lambda text: None) -> _Read:
        """Return what `read` makes of the answer's bytes; ask again while it raises BadAnswer.

        Raises:
            DownloadError: every try failed, the service asks for too long a wait, or it refuses the request.
        """
        retry = Retry(self.tries - 1, backoff_factor=1, backoff_jitter=1, backoff_max=60)
        while True:
            self.sleep(max(0.0, self._next - self.clock()))
            self._next = self.clock() + 1 / self.rate
            asked = 0.0
            try:
                answer = self._session.get(url, timeout=self.timeout, headers={"User-Agent": "crystalgen"})
                if answer.status_code == 429 or answer.status_code >= 500:
                    asked = _retry_after(retry, answer)
                    raise BadAnswer(f"HTTP {answer.status_code}")
                if answer.status_code != 200:
                    raise DownloadError(f"{url}: HTTP {answer.status_code} ({answer.reason}); refused")
                return read(answer.content)
            except BadAnswer as error:
                failure = str(error)
            except _INTERRUPTED as error:
                failure = f"{type(error).__name__} ({error})"
            if asked > self.longest_wait:
                raise DownloadError(f"{url}: {failure}, asks to wait {asked:.0f} s; run the same command later to go on from here")
            try:
                retry = retry.increment("GET", url, error=BadAnswer(failure))
            except MaxRetryError:
                message = f"{url}: failed {self.tries} times, at last: {failure}; run the same command again to go on from here"
                raise DownloadError(message) from None
            wait = max(asked, retry.get_backoff_time())
            say(f"{failure}; again in {wait:.0f} s")
            self.sleep(wait)

    def download(self, url: str, path: str | Path, _pooch: object = None) -> None:
        """Write the answer's bytes to a file; the three arguments are those of pooch's downloaders."""
        Path(path).write_bytes(self.get(url))


def _retry_after(retry: Retry, answer: requests.Response) -> float:
    try:
        return retry.get_retry_after(answer.raw) or 0.0
    except InvalidHeader:
        return 0.0
