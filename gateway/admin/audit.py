"""What adds up since some time, as the audit says it in `audit.balances`, and what is in `activity` beyond that."""

import logging
from dataclasses import dataclass, field

import msgspec

from gateway.admin.reading import Progress, Tally, reading
from wire import audit, topics
from wire.audit import Balance

log = logging.getLogger(__name__)  # the standard library's: on the command line it keeps to standard error

MINUTE_MS = 60_000
HELD_MAX = 100_000  # minutes and wrong ranges, together some 60 MB; 7 d of 8 partitions are 80,640 minutes


@dataclass
class Newest:
    """The newest balance of each partition and minute. Pure."""

    since_ms: int  # minutes before are left out
    _held: dict[str, Balance] = field(default_factory=dict)
    _size: int = 0

    def add(self, balance: Balance) -> None:
        """In the order they were told. Where there are too many, `since_ms` moves on."""
        if balance.minute_ms < self.since_ms:
            return
        if (old := self._held.get(balance.key)) is not None:
            self._size -= _size(old)
        self._held[balance.key] = balance
        self._size += _size(balance)
        if self._size > HELD_MAX:
            minutes = sorted({held.minute_ms for held in self._held.values()})
            self.since_ms = minutes[len(minutes) // 2] if len(minutes) > 1 else minutes[0] + 1
            self._held = {key: held for key, held in self._held.items() if held.minute_ms >= self.since_ms}
            self._size = sum(map(_size, self._held.values()))

    def balances(self) -> list[Balance]:
        """By minute and partition."""
        return sorted(self._held.values(), key=lambda held: (held.minute_ms, held.partition))


def _size(balance: Balance) -> int:
    return 1 + len(balance.wrong)


@dataclass(frozen=True)
class Found:
    since_ms: int
    balances: list[Balance]  # the newest of each partition and minute, by minute and partition
    starts: dict[int, int]  # partition → the first offset of `activity` since then
    ends: dict[int, int]  # partition → the offset that its next event will have
    gaps: list[str]  # why not all could be read


async def find(servers: str, since_ms: int, timeout_s: float, progress: Progress = lambda _read, _total: None) -> Found:
    """`servers`: host:port, separated by commas. Begins with a whole minute. Raises KafkaAwayError."""
    since_ms -= since_ms % MINUTE_MS
    newest, tally, unreadable = Newest(since_ms), Tally(progress), 0
    addresses = [address.strip() for address in servers.split(",")]
    async with reading(addresses, timeout_s, {topics.BALANCES, topics.ACTIVITY}) as there:
        starts = await there.starts(topics.ACTIVITY, since_ms)
        begins = await there.starts(topics.BALANCES, since_ms - MINUTE_MS)  # whoever writes them may have another clock
        async for record in there.records(begins, tally):
            try:
                newest.add(audit.decode_balance(record.value or b""))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if not unreadable:
                    log.warning("%s, offset %d cannot be read: %s", topics.BALANCES, record.offset, error)
                unreadable += 1
        ends = await there.ends(topics.ACTIVITY)  # last, so that no balance is newer
    gaps = []
    if not tally.complete:
        gaps.append(f"read {tally.read:,} of {tally.total:,} balances in {timeout_s:g} s")
    if newest.since_ms != since_ms:
        gaps.append(f"there are more than {HELD_MAX:,} balances")
    if unreadable:
        gaps.append(f"balances that cannot be read: {unreadable:,}")
    return Found(
        newest.since_ms,
        newest.balances(),
        {tp.partition: offset for tp, offset in starts.items()},
        {tp.partition: offset for tp, offset in ends.items()},
        gaps,
    )
