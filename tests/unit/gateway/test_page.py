from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from gateway import page


def client(folder: Path) -> httpx.AsyncClient:
    app = FastAPI()

    @app.post("/api/v1/events")
    async def events() -> str:
        return "taken"

    page.serve(app, folder)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "static" / "assets").mkdir(parents=True)
    (tmp_path / "static" / "index.html").write_text("<title>ClassPulse</title>")
    (tmp_path / "static" / "icon.svg").write_text("<svg/>")
    (tmp_path / "static" / "assets" / "index-1a2b.js").write_text("1")
    (tmp_path / "secret").write_text("not a page")
    return tmp_path / "static"


async def test_where_it_is_not_built_it_says_how_to_build_it(tmp_path: Path) -> None:
    async with client(tmp_path) as ask:
        answer = await ask.get("/")
    assert answer.status_code == 503
    assert "make page" in answer.text


async def test_the_page_may_load_only_from_here_and_is_asked_for_again(built: Path) -> None:
    async with client(built) as ask:
        answer = await ask.get("/")
        assert answer.text == "<title>ClassPulse</title>"
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-cache"
        unchanged = await ask.get("/", headers={"If-None-Match": answer.headers["etag"]})
        assert unchanged.status_code == 304
        assert (await ask.get("/icon.svg")).headers["cache-control"] == "no-cache"
        assert (await ask.head("/")).status_code == 200


async def test_what_is_named_by_its_content_is_kept(built: Path) -> None:
    async with client(built) as ask:
        answer = await ask.get("/assets/index-1a2b.js")
    assert answer.text == "1"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/assets/nothing.js", "/%2e%2e/secret", "/assets/..%2f..%2fsecret", "/assets/%00"]
)
async def test_what_is_not_there_is_404(built: Path, path: str) -> None:
    async with client(built) as ask:
        assert (await ask.get(path)).status_code == 404


async def test_the_api_answers_for_itself(built: Path) -> None:
    async with client(built) as ask:
        assert (await ask.post("/api/v1/events")).json() == "taken"
        assert (await ask.get("/api/v1/events")).status_code == 405
        assert (await ask.post("/")).status_code == 405
