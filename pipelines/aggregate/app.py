"""The consumer group `aggregate`, put together: `python -m pipelines.aggregate.app`."""

import asyncio

from pipelines import stock
from pipelines.aggregate.agents import APP, Folding, Merging
from pipelines.outlet import Outlet
from pipelines.settings import AggregateSettings
from pipelines.worker import AnyWorker, Worker, create_app, producer_maker, run
from wire import topics

# Some 15 ms of folding. A transaction takes some thirty turns of the loop, and under load each waits for a batch.
BATCH_RECORDS = 500


def create(settings: AggregateSettings) -> AnyWorker:
    if settings.transport == "stock":
        return stock.aggregate(settings)
    app = create_app(APP, settings, batch_records=BATCH_RECORDS)
    worker = Worker(app, settings)
    activity, partials = app.batch_topic(topics.ACTIVITY), app.batch_topic(topics.PARTIALS)
    outlet = Outlet(producer_maker(app), (topics.PARTIALS, topics.METRICS, topics.LATE, topics.DEAD_LETTERS))
    folding, merging = Folding(worker, settings, outlet), Merging(worker, settings, outlet)
    app.agent(activity, name="fold")(folding.run)
    app.agent(partials, name="merge")(merging.run)
    app.task(folding.publisher.run)
    app.task(merging.publisher.run)
    worker.closes(outlet.close)

    @app.before_commit
    async def flush(partition: int) -> None:
        merging.advance(partition)
        await asyncio.gather(folding.publisher.told(partition), merging.publisher.told(partition))
        folding.store(partition)
        merging.store(partition)

    @app.on_partition_restored
    def restore(partition: int) -> None:
        folding.restore(partition)
        merging.restore(partition)

    @app.on_partition_lost
    def forget(partition: int) -> None:
        folding.forget(partition)
        merging.forget(partition)

    return worker


if __name__ == "__main__":
    run(create(AggregateSettings()))
