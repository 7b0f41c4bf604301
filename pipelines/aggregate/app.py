"""The consumer group `aggregate`, put together: `python -m pipelines.aggregate.app`."""

import asyncio

from pipelines.aggregate.agents import APP
from pipelines.aggregate.auditing import Auditing
from pipelines.aggregate.folding import Folding
from pipelines.aggregate.merging import Merging
from pipelines.outlet import Outlet
from pipelines.settings import AggregateSettings
from pipelines.worker import AnyWorker, Worker, create_app, producer_maker, run
from wire import topics

# Some 4 ms of folding. A transaction takes some thirty turns of the loop, and under load each waits for a batch.
BATCH_RECORDS = 500
TOLD = (topics.PARTIALS, topics.METRICS, topics.LATE, topics.DEAD_LETTERS, topics.AUDIT, topics.BALANCES)


def create(settings: AggregateSettings) -> AnyWorker:
    if settings.transport == "stock":
        from pipelines import stock  # its imports are a tenth of each start, for what hardly anybody chooses

        return stock.aggregate(settings)
    app = create_app(APP, settings, batch_records=BATCH_RECORDS)
    worker = Worker(app, settings)
    sources = {name: app.batch_topic(name) for name in (topics.ACTIVITY, topics.PARTIALS, topics.AUDIT)}
    outlet = Outlet(producer_maker(app), TOLD)
    clock = worker.now_ms
    agents = (
        Folding(worker, settings, outlet, clock), Merging(worker, settings, outlet, clock),
        Auditing(worker, outlet, clock),
    )  # fmt: skip
    for agent in agents:
        app.agent(sources[agent.topic], name=agent.name)(agent.run)
        app.task(agent.publisher.run)
    worker.closes(outlet.close)

    @app.before_commit
    async def flush(partition: int) -> None:
        for agent in agents:
            agent.advance(partition)
        await asyncio.gather(*(agent.publisher.told(partition) for agent in agents))
        for agent in agents:
            agent.store(partition)

    @app.on_partition_restored
    def restore(partition: int) -> None:
        for agent in agents:
            agent.restore(partition)

    @app.on_partition_lost
    def forget(partition: int) -> None:
        for agent in agents:
            agent.forget(partition)

    return worker


if __name__ == "__main__":
    run(create(AggregateSettings()))
