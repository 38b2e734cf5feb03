"""The studio's server: the addresses of its API, and the page's files."""

import base64
import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import BackgroundTasks, Body, Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from gannet.errors import UserError
from gannet.studio.data import Folders
from gannet.studio.events import Watches
from gannet.studio.findings import Findings
from gannet.studio.jobs import Jobs
from gannet.studio.rating import Ratings
from gannet.studio.runs import Runs, plain
from gannet.studio.security import LOCAL, Guard, Limit, Refused, own_hosts
from gannet.studio.summary import Summaries

PAGE = Path(__file__).with_name("page")
SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
MOST_SAMPLING, MOST_LOOKING = 4, 1
MOST_POINTS = 5000
FRAMES = (
    "'self' http://localhost:* http://127.0.0.1:* vscode-webview:"
    " https://colab.research.google.com https://*.googleusercontent.com https://*.colab.dev"
)
"""Where the page may be shown in a frame: every page around it is checked, in Colab the notebook's own too."""

Asked = Annotated[dict[str, Any], Body()]


@dataclass(frozen=True)
class House:
    """All that the addresses share."""

    runs: Runs
    data: Folders
    findings: Findings
    jobs: Jobs
    summaries: Summaries
    watches: Watches
    sampling: Limit
    looking: Limit

    @classmethod
    def of(cls, runs: Path, data: Sequence[Path]) -> "House":
        known, folders = Runs(runs), Folders(data, runs)
        findings, jobs = Findings(known), Jobs(known, folders)
        summaries = Summaries(known, jobs, findings)
        limits = (
            Limit(MOST_SAMPLING, "other images are being made"),
            Limit(MOST_LOOKING, "other images are being looked at"),
        )
        return cls(known, folders, findings, jobs, summaries, Watches(known, summaries, findings), *limits)


def studio(
    runs: Path,
    token: str | None = None,
    *,
    data: Sequence[Path] = (),
    host: str = LOCAL,
    port: int,
    proxies: Sequence[str] = (),
) -> FastAPI:
    """The studio over the folder `runs` as an ASGI application.

    It answers to the names of this machine with `port`, to `host`, and to `proxies` (`name` or `name:port`). With a
    `token` nobody is answered who does not have it. `data` are the folders whose images may be looked at.
    """
    app = FastAPI(
        title="Gannet studio", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(known_query)]
    )
    house = House.of(runs, data or (Path(),))
    anywhere = token is not None and host in ("0.0.0.0", "::")
    known = {"hosts": own_hosts(port, host), "proxies": set(proxies), "any_host": anywhere}
    app.add_middleware(Guard, token=token, page_rules=page_rules(), **known)
    tell_errors(app)
    app.state.watches, player = house.watches, player_of(house)
    run_addresses(app, house)
    play_addresses(app, house, player)
    data_addresses(app, house)
    rate_addresses(app, house, player)
    app.mount("/", StaticFiles(directory=PAGE, html=True, check_dir=False))
    return app


def known_query(request: Request) -> None:
    """Raises `Refused` for a name in the query that the address does not have: it would be left out silently."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            takes = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise Refused(f"this address has no '{name[:100]}' in its query: {takes}", 422)


def page_rules() -> str:
    """The Content-Security-Policy: nothing from elsewhere, no script but the page's own."""
    index = PAGE / "index.html"
    inline = SCRIPT.findall(index.read_text("utf-8")) if index.exists() else []
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline]
    scripts = " ".join(["'self'", *hashes])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
        f" connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {FRAMES}"
    )


def tell_errors(app: FastAPI) -> None:
    """Every error is JSON with one line."""

    @app.exception_handler(UserError)
    async def user_error(request: Request, error: UserError) -> JSONResponse:
        code = error.code if isinstance(error, Refused) else 400
        return JSONResponse({"error": " ".join(str(error).split())}, code)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        lines = {404: "there is nothing at this address", 405: "this address is not asked so"}
        return JSONResponse({"error": lines.get(error.status_code, str(error.detail))}, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def bad_value(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return JSONResponse({"error": f"{name}: {first['msg']}"[:400]}, 422)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"the studio failed at this: {type(error).__name__}"}, 500)


def run_addresses(app: FastAPI, house: House) -> None:
    """Runs: listed, in full, live, started and stopped; and their pictures."""

    @app.get("/api/runs")
    def listed() -> list[dict[str, Any]]:
        rows = house.summaries.all()
        Thread(target=house.findings.look, daemon=True).start()
        return plain(rows)

    @app.post("/api/runs")
    def train(asked: Asked) -> dict[str, str]:
        return {"name": house.jobs.train(asked)}

    @app.get("/api/runs/{name}")
    def one(name: str) -> dict[str, Any]:
        return plain(house.summaries.whole(name))

    @app.get("/api/runs/{name}/statistics")
    def statistics(
        name: str,
        names: str = "",
        begin: Annotated[float | None, Query(alias="from")] = None,
        end: Annotated[float | None, Query(alias="to")] = None,
        points: Annotated[int, Query(ge=1, le=MOST_POINTS)] = 1000,
    ) -> dict[str, Any]:
        tail = house.runs.tail(house.runs.find(name))
        tail.open()
        wanted = [each for each in names.split(",") if each in tail.names] if names else tail.names
        low, high = -np.inf if begin is None else begin, np.inf if end is None else end
        return plain(tail.curves(wanted, low, high, points).to_dict())

    @app.get("/api/runs/{name}/events")
    async def events(
        name: str, tail: int | None = None, last_event_id: Annotated[str | None, Header()] = None
    ) -> StreamingResponse:
        run = house.watches.check(name)
        seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else tail
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(house.watches.stream(name, run, seen), headers=headers, media_type="text/event-stream")

    @app.post("/api/runs/{name}/stop")
    def stop(name: str) -> dict[str, str]:
        house.jobs.stop(name)
        return {"name": name}

    @app.post("/api/runs/{name}/resume")
    def resume(name: str, asked: Asked) -> dict[str, str]:
        house.jobs.resume(name, asked)
        return {"name": name}

    @app.post("/api/runs/{name}/again")
    def again(name: str, asked: Asked) -> dict[str, str]:
        return {"name": house.jobs.again(name, asked)}

    @app.get("/files/{name}/{path:path}")
    def picture(name: str, path: str) -> FileResponse:
        return FileResponse(house.runs.picture(name, path), headers={"cache-control": "no-cache"})


def play_addresses(app: FastAPI, house: House, player: Callable[[], Any]) -> None:
    """What a generator makes. torch is imported when it is first asked for."""

    @app.get("/api/runs/{name}/sample")
    def sample(
        name: str,
        seed: int = 0,
        num: int = 16,
        label: str | None = None,
        truncation: float | None = None,
        threshold: float | None = None,
        directions: str = "",
    ) -> dict[str, Any]:
        run = house.runs.find(name)
        with house.sampling():
            return player().sample(run, seed, num, label or None, truncation, threshold, directions)

    @app.get("/api/runs/{name}/walk")
    def walk(
        name: str,
        a: int,
        b: int,
        steps: int = 8,
        label: str | None = None,
        truncation: float | None = None,
        directions: str = "",
    ) -> dict[str, Any]:
        run = house.runs.find(name)
        with house.sampling():
            return player().walk(run, a, b, steps, label or None, truncation, directions)

    @app.get("/api/runs/{name}/directions")
    def directions(name: str) -> dict[str, Any]:
        run = house.runs.find(name)
        with house.sampling():
            return player().directions(run)

    @app.get("/api/runs/{name}/nearest")
    def nearest(
        name: str,
        seed: int,
        label: str | None = None,
        truncation: float | None = None,
        num: int = 8,
        directions: str = "",
    ) -> dict[str, Any]:
        run = house.runs.find(name)
        with house.sampling():
            return player().nearest(run, seed, label or None, truncation, num, directions)

    @app.get("/api/runs/{name}/latent")
    def latent(
        name: str, seed: int, label: str | None = None, truncation: float | None = None, directions: str = ""
    ) -> Response:
        run = house.runs.find(name)
        with house.sampling():
            rows = player().latent(run, seed, label or None, truncation, directions)
        buffer = BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        file = f"{'w' if rows.ndim == 3 else 'z'}{seed}.npy"
        return Response(buffer.getvalue(), media_type="application/octet-stream", headers=named(file))

    @app.get("/api/runs/{name}/export")
    def exported(name: str, to: Literal["onnx", "safetensors"], after: BackgroundTasks) -> FileResponse:
        run = house.runs.find(name)
        with house.sampling():
            file = player().exported(run, to)
        after.add_task(shutil.rmtree, file.parent, ignore_errors=True)
        return FileResponse(file, media_type="application/octet-stream", headers=named(f"{run.name}.{to}"))

    @app.get("/api/compare")
    def compared(runs: Annotated[list[str], Query()], names: str = "") -> dict[str, Any]:
        from gannet.studio.compare import Comparer

        with house.sampling():
            return plain(Comparer(player()).compared(runs, some(names)))


def player_of(house: House) -> Callable[[], Any]:
    """Who plays, made when he is first asked for."""
    made: list[Any] = []

    def player() -> Any:
        from gannet.studio.play import Player

        if not made:
            made.append(Player(house.runs, house.data))
        return made[0]

    return player


def data_addresses(app: FastAPI, house: House) -> None:
    """Images to train on."""

    @app.get("/api/data")
    def data(path: str = "") -> dict[str, Any]:
        if not path:
            return {**house.data.listed(), "elsewhere": house.runs.elsewhere}
        with house.looking():
            return house.data.inspected(path)

    @app.get("/api/data/sheets/{sheet}.png")
    def sheet(sheet: str) -> Response:
        if sheet not in house.data.sheets:
            raise Refused("this contact sheet was made too long ago: look at the images again", 404)
        return Response(house.data.sheets[sheet], media_type="image/png")


def rate_addresses(app: FastAPI, house: House, player: Callable[[], Any]) -> None:
    """Pairs to judge, and what came of it."""
    ratings = Ratings(house.runs)

    @app.get("/api/rate/{name}/pair")
    def pair(
        name: str,
        rater: str = "",
        seconds: Annotated[float | None, Query(gt=0, le=3600)] = None,
        checkpoint: str = "",
    ) -> dict[str, Any]:
        from gannet.studio.rate import Pairs

        with house.sampling():
            return ratings.show(name, Pairs(ratings, player()).make(name, rater, checkpoint), seconds)

    @app.get("/api/rate/pictures/{picture}.png")
    def picture(picture: str) -> Response:
        return Response(ratings.picture(picture), media_type="image/png", headers={"cache-control": "no-store"})

    @app.post("/api/rate/{name}")
    def choose(name: str, asked: Asked) -> dict[str, Any]:
        return ratings.choose(name, asked)

    @app.get("/api/rate/{name}/result")
    def result(name: str) -> dict[str, Any]:
        return ratings.result(name)

    @app.get("/api/rate/{name}/result.csv")
    def table(name: str) -> Response:
        return Response(ratings.table(name), media_type="text/csv", headers=named(f"{Path(name).name}-ratings.csv"))


def some(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def named(file: str) -> dict[str, str]:
    """The header with which a browser saves an answer under a name."""
    plain = re.sub(r"[^\w.-]", "_", file, flags=re.ASCII)
    return {"content-disposition": f'attachment; filename="{plain}"'}
