"""The command that serves a trained generator."""

from dataclasses import dataclass
from pathlib import Path

from gannet.commands.options import RunFolder, parse


@dataclass(frozen=True)
class Serve:
    """Images of a trained generator over HTTP: GET /sample?num=4&seed=1. Of a run, or an ONNX file (without torch)."""

    run: RunFolder
    host: str = "127.0.0.1"
    """Where to listen; 0.0.0.0 for all who reach this machine, without a password."""
    port: int = 8000
    """0 takes a free one, and says which."""
    batch: int = 64
    """Images at once, at most."""
    queue: int = 256
    """Images that may wait, and that one request may ask for; more are refused with 503."""
    threads: int = 0
    """Threads that compute; as many as there are cores without it."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""


def serve(argv: list[str]) -> None:
    from gannet.errors import UserError
    from gannet.generation.sampler import Sampler, no_sampler
    from gannet.using.sampling import load

    options = parse(Serve, argv, "serve")
    try:
        from gannet.serving.server import serve
    except ImportError as error:
        needs = "gannet serve needs the packages fastapi and uvicorn: pip install 'gannet-gan[serve]'"
        raise UserError(needs) from error
    G = load(options.run, options.device, threads=options.threads)
    if not isinstance(G, Sampler):
        raise no_sampler(options.run)
    name = Path(options.run).resolve().name
    serve(G, name, options.host, options.port, options.batch, options.queue)
