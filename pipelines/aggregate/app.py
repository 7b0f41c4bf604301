"""The consumer group `aggregate`, put together: `python -m pipelines.aggregate.app`."""

from typing import Any

from pipelines.aggregate.agents import APP, SLIDE_S, Folding, Merging, partitions_by_topic
from pipelines.settings import AggregateSettings
from pipelines.worker import Worker, create_app, run
from wire import topics


def create(settings: AggregateSettings) -> Worker:
    app = create_app(APP, settings)
    worker = Worker(app, settings)
    folding = Folding(worker, settings)
    merging = Merging(worker, settings)
    app.agent(worker.topic(topics.ACTIVITY), name="fold")(folding.run)
    app.agent(worker.topic(topics.PARTIALS), name="merge")(merging.run)
    app.timer(SLIDE_S)(merging.slide)

    async def forget(_: Any, revoked: set[Any], **__: Any) -> None:
        lost = partitions_by_topic(revoked)
        folding.forget(lost[topics.ACTIVITY])
        merging.forget(lost[topics.PARTIALS])

    app.on_partitions_revoked.connect(forget, weak=False)
    return worker


if __name__ == "__main__":
    run(create(AggregateSettings()))
