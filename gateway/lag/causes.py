"""The causes that can be seen, and each verdict's sentence. Pure."""

from enum import StrEnum

from gateway.lag.samples import SILENT_S, Gone, Sample, Window, Worker

_RESTORES = "recovering"  # pipelines/reading.py


class Cause(StrEnum):
    NONE = ""
    NOBODY = "nobody_owns_it"
    REBALANCING = "rebalancing"
    PAUSED = "paused_by_hand"
    STORE_AWAY = "store_away"
    RESTORING = "restoring_tables"
    SILENT = "worker_silent"
    POISON = "poison_record"
    STILL = "worker_still"  # it lives, and why it does not get on is not known
    HOT_PARTITION = "hot_partition"
    SLOW = "too_slow"
    WENT_BACK = "offset_went_back"
    DELETED_UNREAD = "deleted_unread"
    BEYOND_THE_END = "beyond_the_end"
    ABOUT_TO_BE_DELETED = "about_to_be_deleted"
    TOO_EARLY = "too_early"
    NO_SAMPLES = "no_samples"


def unseen(for_s: float | None, away: str) -> str:
    since = "nothing has been seen of it yet" if for_s is None else f"nothing has been seen of it for {_time(for_s)}"
    return f"{since}: {away}" if away else since


def beyond(sample: Sample) -> str:
    return (
        f"it stands at offset {sample.position}, and the partition ends at {sample.end}: the topic was made anew, or "
        f"has lost its end"
    )


def lost(sample: Sample) -> str:
    return (
        f"deleted unread: {_records(sample.lost)}; it stands at offset {sample.position}, and the first that is left "
        f"is {sample.first}"
    )


def about_to_be_lost(margin_s: float, why: str) -> str:
    if margin_s <= 0:
        return f"its first unread record is older than the topic keeps records, and may go at any moment; {why}"
    return f"its first unread record is deleted in {_time(margin_s)}; {why}"


def rebalancing(for_s: float, sample: Sample) -> str:
    return f"its group has been rebalancing for {_time(for_s)}, with {_unread(sample.lag)}"


def nobody(for_s: float, sample: Sample) -> str:
    left = f", with {_unread(sample.lag)}" if sample.lag else ""
    members = " and the group has no members" if sample.phase.value == "empty" else ""
    since = f"has owned it for {_time(for_s)}" if for_s else "owns it"
    return f"no member {since}{members}{left}{_gone(sample.gone)}"


def _gone(gone: Gone | None) -> str:
    if gone is None:
        return ""
    if gone.left:
        return f"; its worker {gone.worker_id} was asked to stop, {_time(gone.silent_s)} ago"
    heard = f"was last heard of {_time(gone.silent_s)} ago"
    return f"; its worker {gone.worker_id} {heard}, and did not say that it goes: it was killed, or is frozen"


def store_away(sample: Sample, store: str, stuck_s: float) -> str:
    who = f"worker {sample.worker.worker_id}" if sample.worker else f"member {sample.owner}"
    return f"its {who} has waited {_time(stuck_s)} for a store that is away: {store}"


def paused(worker: Worker, sample: Sample) -> str:
    return f"its worker {worker.worker_id} is {worker.paused}; {_unread(sample.lag)}"


def poison(sample: Sample, handovers: int, stuck_s: float) -> str:
    at = _committed(sample)
    return (
        f"{handovers + 1} owners, one after the other, got no further than {at} in {_time(stuck_s)}: probably a poison "
        f"record at it or soon after"
    )


def deadly(sample: Sample, deaths: int, stuck_s: float) -> str:
    return (
        f"{deaths} workers, one after the other, died and got no further than {_committed(sample)} in "
        f"{_time(stuck_s)}: probably of a poison record, in this or another of their partitions"
    )


def works(worker: Worker) -> bool:
    """It says so, and has finished a record lately: if not here, then elsewhere."""
    return worker.silent_s <= SILENT_S and worker.progress_s is not None and worker.progress_s <= SILENT_S


def restores(worker: Worker) -> bool:
    return worker.reason.startswith(_RESTORES)


def restoring(worker: Worker, stuck_s: float) -> str:
    return f"its worker {worker.worker_id} has been {worker.reason} for {_time(stuck_s)}"


def still(window: Window, stuck_s: float) -> tuple[Cause, str]:
    """Somebody has it, and it does not get on."""
    sample = window.newest
    worker = sample.worker
    came = f" while {_records(window.arrived)} arrived" if window.arrived else f" with {_unread(sample.lag)}"
    stands = f"{_committed(sample)} for {_time(stuck_s)}{came}"
    if worker is not None and worker.silent_s > SILENT_S:
        silent = f"sent no heartbeat for {_time(worker.silent_s)}"
        return Cause.SILENT, f"its worker {worker.worker_id} has {silent}, and it has stood at {stands}"
    if worker is None and sample.mute:
        return Cause.SILENT, f"the worker that owns it sends no heartbeats, and it has stood at {stands}"
    if worker is None:
        deaf = f"; no heartbeats can be read: {sample.deaf}" if sample.deaf else ""
        return Cause.STILL, f"its member {sample.owner} is in the group, but it has stood at {stands}{deaf}"
    if restores(worker):
        return Cause.RESTORING, f"{restoring(worker, stuck_s)}{came}"
    said = f": {worker.reason}" if worker.reason else ", and it finishes records of others" if works(worker) else ""
    alive = f"the heartbeat of its worker {worker.worker_id} is {_time(worker.silent_s)} old"
    return Cause.STILL, f"{alive}, but it has stood at {stands}{said}"


def rewound(what: tuple[int, int], sample: Sample) -> str:
    before, after = what
    left = max(0, min(before, sample.end) - sample.position)
    again = f", {left:,} of them still to come" if sample.position > after else ""
    return f"its offset went back from {before} to {after}: {_records(before - after)} to be read again{again}"


def idle(quiet_s: float) -> str:
    return f"nothing has come for {_time(quiet_s)}, and all is read"


def fine(lag: int, lag_s: float | None) -> str:
    if not lag:
        return "all is read"
    age = "" if lag_s is None else f", the first {_time(lag_s)} old"
    return f"it keeps up: {_unread(lag)}{age}"


def waits(lag: int, lag_s: float | None, stuck_s: float) -> str:
    age = "" if lag_s is None else f", the first {_time(lag_s)} old"
    return f"{_unread(lag)}{age}, and nothing committed for {_time(stuck_s)}: it may be on its way"


def too_early(span_s: float, lag: int) -> str:
    return f"watched for {_time(span_s)} only, which is too short to tell where {_unread(lag)} are going"


def catching_up(
    lag: int, late_s: float, rate_in: float, rate_out: float, catch_up_s: float | None, share: float
) -> str:
    done = f", done in {_time(catch_up_s)}" if catch_up_s is not None else ""
    return f"{_behind(lag, late_s)} and fewer by the second: {_rates(rate_in, rate_out)}{done}{_hot(share)}"


def falling_behind(lag: int, late_s: float, rate_in: float, rate_out: float, share: float) -> str:
    return f"{_behind(lag, late_s)} and no fewer: {_rates(rate_in, rate_out)}{_hot(share)}"


def held(before: str, now: str) -> str:
    """What was found before is still told, until what is found now has lasted."""
    return before if before == now else f"{before.split(_NOW)[0]}{_NOW}{now}"


_NOW = "; now "


def _hot(share: float) -> str:
    return f"; {share:.0%} of what comes into the topic comes into this partition" if share else ""


def _behind(lag: int, late_s: float) -> str:
    return f"{_unread(lag)}, the first {_time(late_s)} old,"


def _rates(rate_in: float, rate_out: float) -> str:
    return f"{rate_in:,.1f} come a second, {rate_out:,.1f} are read"


def _committed(sample: Sample) -> str:
    return "its beginning, never having committed," if sample.committed is None else f"offset {sample.committed}"


def _unread(lag: int) -> str:
    return f"{_records(lag)} unread"


def _records(number: int) -> str:
    return "1 record" if number == 1 else f"{number:,} records"


def _time(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
