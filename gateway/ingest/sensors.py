"""The ways in for what others' sensors send as it is: JupyterLab's and those that speak Caliper."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.bodies import JSON, check_json, read_body
from gateway.ingest import caliper, jupyter
from gateway.ingest.admission import Admission
from gateway.ingest.ids import course_of
from gateway.ingest.judge import BodyError, Posted, Rejection
from gateway.ingest.results import ACCEPTED, RESULTS, answer
from gateway.problems import ProblemError
from gateway.security.limits import Limits
from gateway.security.schemes import BEARER_OR_BASIC

Judge = Callable[[bytes, str], list[Posted | Rejection]]


def router(admission: Admission, limits: Limits) -> APIRouter:
    routes = APIRouter(
        prefix="/ingest",
        tags=["events"],
        responses=problems.documented(400, 401, 403, 408, 413, 415, 429)
        | problems.documented(422, 503, results=RESULTS),
        dependencies=BEARER_OR_BASIC,
    )

    async def taken(request: Request, judge: Judge) -> Response:
        key = await admission.key(request)
        check_json(request)
        body = await read_body(request)
        try:
            verdicts = judge(body, course_of(key))
        except BodyError as error:
            await admission.spend(request, key, 1)
            raise ProblemError(400, str(error)) from None
        await admission.spend(request, key, len(verdicts))
        return answer(await admission.post(key, verdicts))

    @routes.post(
        "/jupyter", status_code=202, response_model=None, responses=ACCEPTED, openapi_extra=_body(_FROM_JUPYTER)
    )
    @limits.events
    async def post_from_jupyter(request: Request) -> Response:
        """Takes what the exporter of jupyterlab-pioneer sends: one event. Nothing of a notebook's content is kept."""
        return await taken(request, jupyter.judge)

    @routes.post("/caliper", status_code=202, response_model=None, responses=ACCEPTED, openapi_extra=_body(_ENVELOPE))
    @limits.events
    async def post_caliper(request: Request) -> Response:
        """Takes an envelope of Caliper 1.2 (or 1.1) with up to 500 events. Each is accepted or rejected by itself."""
        return await taken(request, caliper.judge)

    return routes


def _body(example: dict[str, Any]) -> dict[str, Any]:
    content = {JSON: {"schema": {"type": "object"}, "examples": {"as it is sent": {"value": example}}}}
    return {"requestBody": {"required": True, "content": content}}


_FROM_JUPYTER = {
    "data": {
        "eventDetail": {
            "eventName": "CellExecuteEvent",
            "eventTime": 1_768_437_000_000,
            "eventInfo": {"cells": [{"id": "4c0b1c9e", "index": 3}], "success": True, "kernelError": None},
        },
        "notebookState": {"sessionID": "5d9f2a51", "notebookPath": "week1/loops.ipynb", "notebookContent": None},
    },
    "params": {"course_id": "py101"},
    "env": [{"JUPYTERHUB_USER": "s001"}],
}
_ENVELOPE = {
    "sensor": "https://lms.example.org/sensors/1",
    "sendTime": "2026-01-15T00:30:05.000Z",
    "dataVersion": "http://purl.imsglobal.org/ctx/caliper/v1p2",
    "data": [
        {
            "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
            "id": "urn:uuid:0b4f2c1e-52a4-4c4e-9a1d-3f6b7b1c2d3e",
            "type": "NavigationEvent",
            "actor": {"id": "urn:lms:user:s001", "type": "Person"},
            "action": "NavigatedTo",
            "object": {"id": "https://lms.example.org/pages/2", "type": "WebPage"},
            "eventTime": "2026-01-15T00:30:00.000Z",
            "group": {"id": "py101", "type": "CourseSection"},
        }
    ],
}
