"""What the service answers: images, its state, and a page about itself."""

import asyncio
import base64
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from gannet import __version__
from gannet.errors import UserError, nearest
from gannet.generation.sampler import Sampler
from gannet.images import class_columns, grid, png, to_pil
from gannet.serving.page import page
from gannet.serving.worker import BusyError, Worker

MOST_PIXELS = 2**24  # of one answer: 64 images of 512 pixels
MOST_HELD = 4 * MOST_PIXELS  # of all answers that are asked for and not yet packed: they are in memory
PATIENCE = 2.0  # seconds that the forward which is going on has at the end
RETRY_AFTER = {"Retry-After": "1"}


class Asked(BaseModel):
    """What /sample is asked for."""

    model_config = ConfigDict(extra="forbid")

    num: int = Field(1, ge=1, description="How many images: one as it is, several in one grid.")
    seed: int = Field(0, ge=0, lt=2**63, description="Image i of a seed is always the same.")
    label: str | None = Field(None, max_length=200, description="Only this class, by name or number.")
    truncation: float | None = Field(
        None, allow_inf_nan=False, description="Less variety, and mostly better images, as of gannet sample."
    )
    format: Literal["png", "json"] = Field("png", description="json: each image as PNG in base64, with its label.")


class Service:
    """The answers of one generator."""

    def __init__(self, G: Sampler, worker: Worker, name: str) -> None:
        self.G, self.worker, self.name = G, worker, name
        self.pixels = G.frames * G.resolution**2  # of one image or clip
        self.held = 0  # pixels
        self.most = max(1, min(worker.queue, MOST_PIXELS // self.pixels))

    def app(self) -> FastAPI:
        """The application, without pages that load anything from elsewhere."""
        app = FastAPI(
            title=f"Gannet: {self.name}", version=__version__, docs_url=None, redoc_url=None, lifespan=self.alive
        )
        images = {"image/png": {"schema": {"type": "string", "format": "binary"}}, "application/json": {}}
        answers: dict[int | str, dict[str, Any]] = {200: {"content": images, "description": "The images."}}
        answers |= {status: {"description": what, "model": Error} for status, what in REFUSED.items()}
        app.add_api_route("/sample", self.sample, response_class=Response, responses=answers)
        app.add_api_route("/health", self.health, response_description="It is well.")
        app.add_api_route("/docs", self.docs, response_class=HTMLResponse, include_in_schema=False)
        app.add_api_route("/", home, response_class=RedirectResponse, include_in_schema=False)
        app.add_exception_handler(RequestValidationError, wrong)
        app.add_exception_handler(HTTPException, refused)
        app.add_exception_handler(Exception, failed)
        return app

    @asynccontextmanager
    async def alive(self, app: FastAPI) -> AsyncIterator[None]:
        self.worker.start()
        yield
        await run_in_threadpool(self.worker.close, PATIENCE)

    async def sample(self, asked: Annotated[Asked, Query()]) -> Response:
        """Images number 0 to num of a seed."""
        try:
            labels = self.labels(asked)
            with self.room(asked.num):
                images = await asyncio.wrap_future(self.worker.ask(asked.seed, labels, asked.truncation))
                if asked.format == "json":
                    return JSONResponse(await run_in_threadpool(self.listed, asked, images, labels))
                return Response(await run_in_threadpool(self.picture, images), media_type="image/png")
        except UserError as error:
            return said(422, str(error).replace("--", ""))  # options of commands are parameters here
        except BusyError as error:
            return said(503, str(error), RETRY_AFTER)

    def labels(self, asked: Asked) -> np.ndarray:
        """The class numbers of the images. Raises `UserError` where what is asked for cannot be."""
        if asked.num > self.most:
            raise UserError(f"num is {shortened(asked.num)}, and must be at most {self.most}")
        label = None if asked.label is None else self.G.label_number(asked.label)
        if asked.truncation is not None:
            self.G.bounded(asked.truncation)
        return self.G.label_numbers(asked.num, label)

    @contextmanager
    def room(self, num: int) -> Iterator[None]:
        """Memory for so many images, until they are packed. Raises `BusyError` where there is none left."""
        pixels = num * self.pixels
        if self.held and self.held + pixels > MOST_HELD:
            raise BusyError("the service is making and packing as many pixels as it may: try again")
        self.held += pixels
        try:
            yield
        finally:
            self.held -= pixels

    def picture(self, images: np.ndarray) -> bytes:
        """One image, or a grid of several, as PNG; the frames of clips in rows."""
        if self.G.frames > 1:
            frames = images.reshape(-1, self.G.channels, *images.shape[2:])
            return png(grid(frames, self.G.frames))
        if len(images) == 1:
            return png(to_pil(images[0]))
        return png(grid(images, class_columns(len(images), len(self.G.classes))))

    def listed(self, asked: Asked, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Each image with what it follows from."""
        classes = self.G.classes
        return {
            "seed": asked.seed,
            "truncation": asked.truncation,
            "images": [
                {
                    "number": i,
                    "label": classes[label] if classes else None,
                    "png": base64.b64encode(self.picture(images[i : i + 1])).decode(),
                }
                for i, label in enumerate(labels)
            ],
        }

    async def health(self) -> dict[str, Any]:
        """What is served, and how many images are waiting."""
        return {"status": "ok", **self.facts(), "waiting": self.worker.waiting}

    async def docs(self, request: Request) -> str:
        """This service, for people."""
        return page(request.app.openapi(), self.facts())

    def facts(self) -> dict[str, Any]:
        """What the generator is."""
        G = self.G
        return {
            "model": self.name,
            "gannet": __version__,
            "resolution": G.resolution,
            "channels": G.channels,
            "frames": G.frames,
            "classes": list(G.classes),
            "most_images": self.most,
        }


async def home() -> str:
    """Where people go first."""
    return "/docs"


class Error(BaseModel):
    """What every error is."""

    error: str


REFUSED: Mapping[int | str, str] = {
    422: "What is asked for cannot be.",
    503: "Too many images are waiting, or the service is about to end: try again.",
}


def said(status: int, error: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as JSON, in one line."""
    return JSONResponse({"error": error}, status, headers)


async def wrong(request: Request, error: Exception) -> Response:
    """Parameters that cannot be read."""
    assert isinstance(error, RequestValidationError)
    return said(422, "; ".join(problems(error.errors())))


def problems(errors: Sequence[Any]) -> Iterator[str]:
    """Each in a few words."""
    for each in errors:
        name = str(each["loc"][-1])
        if each["type"] == "extra_forbidden":
            yield f"there is no parameter '{shortened(name)}'{nearest(shortened(name), Asked.model_fields)}"
        else:
            what = each["msg"].removeprefix("Input should be ").lower()
            yield f"{name} is '{shortened(each['input'])}', and must be {what}"


def shortened(value: object) -> str:
    """Whatever was sent, in at most 40 characters."""
    text = str(value) if not isinstance(value, float) or math.isfinite(value) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


async def refused(request: Request, error: Exception) -> Response:
    """Paths and methods that there are not."""
    assert isinstance(error, HTTPException)
    what = f"there is no {shortened(request.url.path)}" if error.status_code == 404 else str(error.detail).lower()
    return said(error.status_code, f"{what}: /docs says what there is", error.headers)


async def failed(request: Request, error: Exception) -> Response:
    """What should not happen; the server's log has the traceback."""
    return said(500, "the service failed to make this: its log says why")
