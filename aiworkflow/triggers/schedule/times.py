"""When a schedule comes: the fields of cron in a time zone.

Theory. croniter answers one question here: which reading of a clock on the wall, without any time
zone, fits the fields next. What moment that is, is decided here, since clocks are set forward and back:

* A schedule that leaves out some hours (`30 2 * * *`) goes by the clock on the wall. A reading that
  comes twice counts the first time; readings that are skipped count together as the moment at which
  the clock was set forward, the first after the gap.
* A schedule of every hour (`*/10 * * * *`) goes by time that passes: clocks that are set by whole hours
  change neither the number of its runs nor what lies between them.

Moments are seconds since the epoch. Readings of the wall are `datetime` without a zone.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.cron import every_day, fields_of, problem_with_cron, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from croniter import croniter

_SIZES: Final = (60, 60, 24, 31, 12, 7)
_PROBE: Final = timedelta(hours=3)  # no zone sets its clocks twice within so long
_SECOND: Final = timedelta(seconds=1)
_LAST_YEAR: Final = 9000  # readings near the year 9999 cannot be reckoned with


class Times:
    """The moments of a schedule.

    Args:
        cron: the fields, or a word for them; it must be right (`problem_with_cron`).
        timezone: the name of a time zone.
    """

    def __init__(self, cron: str, timezone: str = "UTC") -> None:
        from zoneinfo import ZoneInfo

        assert problem_with_cron(cron) is None, cron
        self.cron, self.timezone = cron, timezone
        self._zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)
        words = fields_of(cron)
        values = [values_of(word, number) or set() for number, word in enumerate(words)]
        self._by_time_passed = len(values[2]) == 24
        self._is_and = every_day(words)
        if not self._is_and and any(len(values[at]) == _SIZES[at] for at in (3, 5)):
            # either is enough, and one of them always fits
            values[3], values[5] = set(range(1, 32)), set(range(7))
        self._fields = " ".join(
            "*" if len(found) == _SIZES[at] else ",".join(map(str, sorted(found)))
            for at, found in enumerate(values)
        )

    def after(self, moment: float) -> float | None:
        """The first moment later than this; None where there is none within fifty years."""
        return next(self.since(moment), None)

    def since(self, moment: float) -> Iterator[float]:
        """The moments later than this, in order."""
        at = datetime.fromtimestamp(moment // 1, UTC)
        return self._of_time_passed(at) if self._by_time_passed else self._of_the_wall(at)

    def latest(self, after: float, until: float, most: int) -> list[float]:
        """The last moments of a span of time, in order, at most so many.

        It looks back as far as it must: a schedule of each second and a span of years cost no more than
        what is given back.

        Args:
            after: the span begins after this moment.
            until: and ends with this one.
            most: at least 1.
        """
        window = 60.0 * most
        while True:
            start = max(after, until - window)
            found: deque[float] = deque(maxlen=most)
            for moment in self.since(start):
                if moment > until:
                    break
                found.append(moment)
            if len(found) == most or start <= after:
                return list(found)
            window *= 4

    def shown(self, moment: float) -> str:
        """A moment as people of the time zone write it: `2027-01-31T09:00:00+01:00`."""
        return datetime.fromtimestamp(moment, self._zone).isoformat(timespec="seconds")

    # -- by the clock on the wall -----------------------------------------------------------------

    def _of_the_wall(self, at: datetime) -> Iterator[float]:
        last = at
        for wall in self._readings(self._wall(at)):
            moment = self._moment(wall)
            if moment > last:
                last = moment
                yield moment.timestamp()

    def _moment(self, wall: datetime) -> datetime:
        """When the clock first shows this, or first shows something later."""
        moment = wall.replace(tzinfo=self._zone).astimezone(UTC)
        if self._wall(moment) == wall:
            return moment
        earlier = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        return self._change(earlier, moment)

    # -- by time that passes ----------------------------------------------------------------------

    def _of_time_passed(self, at: datetime) -> Iterator[float]:
        readings = self._readings(self._wall(at))
        wall = next(readings, None)
        while wall is not None:
            moment = wall.replace(tzinfo=UTC) - self._offset(at)
            change = self._next_change(at, moment)
            if change is None:
                yield moment.timestamp()
                at, wall = moment, next(readings, None)
            else:
                # what the clock shows at the change itself may be a time of the schedule
                readings = self._readings(self._wall(change) - _SECOND)
                at, wall = change, next(readings, None)

    def _next_change(self, start: datetime, end: datetime) -> datetime | None:
        """The first moment after `start` and up to `end` from which on the clock goes differently."""
        while start < end:
            probe = min(end, start + _PROBE)
            if self._offset(probe) != self._offset(start):
                return self._change(start, probe)
            start = probe
        return None

    # -- clocks -----------------------------------------------------------------------------------

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The moment at which the offset becomes another than it is before."""
        offset = self._offset(before)
        while after - before > _SECOND:
            middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta()

    def _readings(self, wall: datetime) -> Iterator[datetime]:
        """What a clock shows, after this, that fits the fields."""
        from croniter import CroniterBadDateError

        found = self._croniter(wall)
        while wall.year < _LAST_YEAR:
            try:
                wall = found.get_next(datetime)
            except CroniterBadDateError:
                return
            yield wall

    def _croniter(self, wall: datetime) -> croniter:
        from croniter import croniter

        return croniter(self._fields, wall, day_or=not self._is_and, second_at_beginning=True)
