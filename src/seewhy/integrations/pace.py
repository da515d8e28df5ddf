"""Which epochs are measured, so that measuring takes no more than a share of the training's time."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from weakref import WeakKeyDictionary

from seewhy.errors import OptionError
from seewhy.learn.watch.watch import Watch

SHARE = 0.02  # of the time between epochs
_paces: WeakKeyDictionary[Watch, Pace] = WeakKeyDictionary()


class Pace:
    """What a training and its measuring have taken so far: `trained_s` between two calls, `spent_s` within them."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.trained_s = self.spent_s = 0.0
        self._last_s, self._clock, self._said = 0.0, clock, False
        self._since: float | None = None

    def is_due(self, share: float | None) -> bool:
        """Whether one more measuring, as long as the last, stays below the share; the first is always due."""
        if self._since is not None:
            self.trained_s += self._clock() - self._since
        self._since = self._clock()
        return share is None or not self.spent_s or self.spent_s + self._last_s <= share * self.trained_s

    def so_far(self) -> float:
        """How many seconds the measuring under way has taken."""
        return 0.0 if self._since is None else self._clock() - self._since

    def measured(self) -> None:
        """End a measuring; what follows is training."""
        self._last_s = self.so_far()
        self.spent_s, self._since = self.spent_s + self._last_s, self._clock()

    def passed_over(self, epoch: int, share: float) -> None:
        """Say, once, that epochs are passed over, and how they are not."""
        if not self._said:
            self._said = True
            warnings.warn(
                f"Epoch {epoch} is not measured: that takes {self._last_s:.2g} s, and with it measuring would be more "
                f"than {100 * share:g} % of the training's time. So for each that is passed over; share=None measures "
                "all, fewer images= and donors= of the watch cost less.",
                stacklevel=4,
            )


def pace_of(watch: Watch, share: float | None) -> Pace:
    """The pace of a watch's training. Raises OptionError for a share that is none."""
    if share is not None and not 0 < share <= 1:
        raise OptionError(f"share is {share:g}, but must be more than 0 and at most 1, or None: all epochs.")
    return _paces.setdefault(watch, Pace())
