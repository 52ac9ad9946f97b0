"""`palate deploy-pipeline`: each stage of a fitted pipeline behind an endpoint of its own."""

from __future__ import annotations

from pathlib import Path

import click

from palate.client.calls import Caller, service_url
from palate.client.endpoints import Endpoint, key_of_environment
from palate.client.pipelines import endpoint_names, snippet, stages_of
from palate.errors import RemoteError


@click.command("deploy-pipeline")
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option("--to", "url", required=True, metavar="URL", help="The server, as `palate endpoints serve` runs it.")
@click.option("--name-prefix", help="What the endpoints' names begin with; the directory's name unless told.")
@click.option("--snippet", "printed", is_flag=True, help="Print the Python of the PipelineModel made of them.")
def deploy_pipeline(pipeline: Path, url: str, name_prefix: str | None, printed: bool) -> None:
    """Put each stage of the fitted PIPELINE behind an endpoint of its own.

    PIPELINE is a bundle, as the job `segment` writes it, or a saved pyspark.ml PipelineModel of palate.spark's stages,
    on a disk that the server sees under the same name. PALATE_ENDPOINT_KEY holds the key, with the scope endpoints.
    """
    url = service_url(url)
    stages = stages_of(pipeline)
    names = endpoint_names(stages, f"{pipeline.absolute().name}-" if name_prefix is None else name_prefix)
    caller = Caller(url, key_of_environment())
    done: list[str] = []
    for stage, name in zip(stages, names, strict=True):
        try:
            Endpoint(caller, name).deploy(stage.source())
        except RemoteError as error:
            so_far = f"Deployed before it: {', '.join(done)}." if done else "Nothing was deployed."
            hint = f"{error.hint} {so_far}" if error.hint else so_far
            raise RemoteError(error.message, where=error.where, hint=hint, code=error.code) from None
        done.append(name)
        click.echo(f"{name}: {stage.kind}, {stage.input} to {', '.join(stage.outputs)}", err=True)
    if printed:
        click.echo(snippet(stages, names, url), nl=False)
