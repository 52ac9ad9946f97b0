"""The tracker: logs models, moves aliases, finds the bundle of a version."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.bundle import Manifest, verify_bundle, write_bundle
from palate.bundle.files import directory_beside
from palate.bundle.writer import claim
from palate.errors import ParameterError, RegistryError
from palate.models.protocol import Artifact
from palate.settings import Settings
from palate.tracking.connection import Connection, shown
from palate.tracking.model import BUNDLE, describe
from palate.tracking.runs import PARENT_TAG, Run, current_run, flat, log_numbers, open_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

ALIASES = ("champion", "challenger")
"""What an alias may be: `champion` is served, `challenger` is the one to compare it with."""
_MAX_TAG = 5000


@dataclass(frozen=True)
class ModelVersionInfo:
    """One version of a registered model. `aliases`: those that point to it. created: as ISO 8601, in UTC."""

    name: str
    version: str
    run_id: str
    model_id: str
    aliases: tuple[str, ...] = ()
    kind: str = ""
    fingerprint: str | None = None
    created: str = ""

    @property
    def uri(self) -> str:
        """What `mlflow.pyfunc.load_model` takes."""
        return f"models:/{self.name}/{self.version}"


class Tracker:
    """Runs and the model registry at one tracking URI, an `sqlite:///` database or an `http://` server.

    Parameters
    ----------
    where: the settings (their `tracking` is the URI), or a tracking URI; None reads the settings.
    experiment: the experiment that runs go to; made when it is missing.

    Every method raises RegistryError if MLflow is away or lacks the name.
    """

    def __init__(self, where: Settings | str | None = None, *, experiment: str = "palate") -> None:
        settings = where if isinstance(where, Settings) else Settings.read()
        self.uri = where if isinstance(where, str) and where else settings.tracking
        self.experiment = experiment
        self._connection = Connection(self.uri)
        self._cache = settings.cache / "registry"

    def __repr__(self) -> str:
        return f"Tracker({shown(self.uri)!r})"

    def log_model(
        self,
        source: Artifact | str | Path,
        *,
        run_name: str,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        lineage: Mapping[str, Any] | None = None,
        register_as: str,
    ) -> ModelVersionInfo:
        """One run with its parameters, metrics and data, its bundle as a model, and a new version of `register_as`.

        source: an artifact, or the path of a bundle (verified first). lineage: as in `write_bundle`; what is missing
        is taken from the bundle's manifest. A run that fails half-way is marked FAILED and registers nothing.
        """
        with tempfile.TemporaryDirectory(prefix="palate-model-") as folder:
            if isinstance(source, (str, Path)):
                bundle, manifest = Path(source), verify_bundle(source)
            else:
                bundle = Path(folder) / BUNDLE
                manifest = write_bundle(source, bundle, metrics=metrics, lineage=lineage)
            lineage = {**manifest.lineage, **(lineage or {})}
            metrics = {**manifest.metrics, **(metrics or {})}
            with self._connection.transfer() as client:
                run_id = self._start_run(client, run_name, manifest, lineage)
                try:
                    log_numbers(client, run_id, {**flat(manifest.params), **flat(params or {})}, metrics)
                    _log_data(client, run_id, lineage)
                    model_id = self._log_bundle(client, bundle, manifest, run_id, register_as)
                    version = self._register(client, register_as, run_id, model_id, manifest)
                except BaseException:
                    client.set_terminated(run_id, "FAILED")
                    raise
                client.set_terminated(run_id)
        return ModelVersionInfo(
            register_as, version, run_id, model_id, kind=manifest.kind, fingerprint=lineage.get("fingerprint")
        )

    @contextmanager
    def run(
        self, name: str, *, params: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """A run of its own, FINISHED when the block ends, FAILED when it raises.

        Runs that the same thread starts inside the block, those of `log_model` too, are nested under it.
        """
        with self._connection.client() as client:
            run_id = self._create_run(client, name, dict(tags or {}))
        with open_run(Run(run_id, self.uri, self._connection)) as run:
            run.log(params=params)
            yield run

    def promote(self, name: str, version: str | int, alias: str = "champion") -> str | None:
        """Points the alias to a version; the version it pointed to before, or None.

        Raises RegistryError for an unknown version, listing those that exist; ParameterError for a foreign alias.
        """
        if alias not in ALIASES:
            raise ParameterError(f"must be one of {', '.join(ALIASES)}, not {alias!r}.", where="alias")
        known = {held.version: held for held in self.versions(name)}
        if str(version) not in known:
            raise RegistryError(
                f"the model {name!r} has no version {version!s:.40}.",
                hint=f"It has: {', '.join(sorted(known, key=int))}.",
            )
        before = next((held.version for held in known.values() if alias in held.aliases), None)
        with self._connection.client() as client:
            client.set_registered_model_alias(name, alias, str(version))
        return before

    def versions(self, name: str) -> list[ModelVersionInfo]:
        """All versions, newest first. Raises RegistryError, naming the models there are, if there is no such model."""
        with self._connection.client() as client:
            model = _registered(client, name)
            found = client.search_model_versions(f"name = '{name}'", max_results=10_000)
        aliases: dict[str, list[str]] = {}
        for alias, version in model.aliases.items():
            aliases.setdefault(str(version), []).append(alias)
        infos = [
            ModelVersionInfo(
                name,
                str(each.version),
                each.run_id or "",
                each.tags.get("palate.model_id", each.model_id or ""),
                tuple(sorted(aliases.get(str(each.version), []))),
                each.tags.get("palate.kind", ""),
                each.tags.get("palate.fingerprint"),
                datetime.fromtimestamp(each.creation_timestamp / 1000, UTC).isoformat(),
            )
            for each in found
        ]
        return sorted(infos, key=lambda info: int(info.version), reverse=True)

    def metrics(self, versions: Iterable[ModelVersionInfo]) -> dict[str, dict[str, float]]:
        """By version: the metrics of the run that made it. A version whose run was deleted has none."""
        from mlflow.exceptions import MlflowException

        found: dict[str, dict[str, float]] = {}
        with self._connection.client() as client:
            for each in versions:
                try:
                    found[each.version] = dict(client.get_run(each.run_id).data.metrics) if each.run_id else {}
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
                    found[each.version] = {}
        return found

    def resolve(self, name: str, alias_or_version: str | int = "champion") -> tuple[str, Path]:
        """The version that an alias (or a number) means, and its bundle as a directory on this machine.

        A version that lies on a server is downloaded once, into the user's cache.
        """
        wanted = str(alias_or_version)
        known = self.versions(name)
        version = next((v.version for v in known if wanted == v.version or wanted in v.aliases), None)
        if version is None:
            numbers = ", ".join(held.version for held in known) or "none"
            aliases = ", ".join(sorted({alias for held in known for alias in held.aliases})) or "none"
            raise RegistryError(
                f"the model {name!r} has no version or alias {wanted[:40]!r}.",
                hint=f"Versions: {numbers}; aliases: {aliases}.",
            )
        with self._connection.transfer() as client:
            location = client.get_model_version_download_uri(name, version)
            bundle = self._fetch(client, location) / BUNDLE
        if not bundle.is_dir():
            raise RegistryError(f"version {version} of {name!r} is no Palate bundle.", where=location)
        return version, bundle

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _start_run(self, client: MlflowClient, name: str, manifest: Manifest, lineage: Mapping[str, Any]) -> str:
        tags = {"palate.kind": manifest.kind, "palate.version": manifest.palate}
        tags |= {f"lineage.{key}": value[:_MAX_TAG] for key, value in flat(lineage).items()}
        return self._create_run(client, name, tags)

    def _create_run(self, client: MlflowClient, name: str, tags: dict[str, str]) -> str:
        parent = current_run()
        if parent is not None and parent.uri == self.uri:
            tags[PARENT_TAG] = parent.id
        found = client.get_experiment_by_name(self.experiment)
        experiment = (
            found.experiment_id if found else client.create_experiment(self.experiment, self._artifact_location())
        )
        return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)

    def _artifact_location(self) -> str | None:
        """Beside the SQLite file; a server decides for itself."""
        prefix = "sqlite:///"
        if not self.uri.startswith(prefix):
            return None
        return (Path(self.uri.removeprefix(prefix)).absolute().parent / "mlartifacts").as_uri()

    def _log_bundle(self, client: MlflowClient, bundle: Path, manifest: Manifest, run_id: str, name: str) -> str:
        experiment = client.get_run(run_id).info.experiment_id
        model = client.create_logged_model(experiment, name=name, source_run_id=run_id, model_type=manifest.kind)
        client.log_model_artifacts(model.model_id, str(bundle), BUNDLE)
        with tempfile.TemporaryDirectory(prefix="palate-model-") as folder:
            describe(Path(folder), manifest, model_id=model.model_id, run_id=run_id)
            client.log_model_artifacts(model.model_id, folder)
        client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

    def _register(self, client: MlflowClient, name: str, run_id: str, model_id: str, manifest: Manifest) -> str:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {"palate.kind": manifest.kind, "palate.model_id": model_id}
        if manifest.fingerprint:
            tags["palate.fingerprint"] = manifest.fingerprint
        source = f"models:/{model_id}"
        if not self.uri.startswith("http"):  # without a server, MLflow looks that URI up at its global tracking URI
            source = client.get_logged_model(model_id).artifact_location
        made = client.create_model_version(name, source, run_id, tags=tags, model_id=model_id)
        return str(made.version)

    def _fetch(self, client: MlflowClient, location: str) -> Path:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if location.startswith("models:/"):
            location = client.get_logged_model(location.removeprefix("models:/")).artifact_location
        repository = get_artifact_repository(location, tracking_uri=self.uri, registry_uri=self.uri)
        if location.startswith(("file:", "/")):
            return Path(repository.download_artifacts("")).absolute()  # type: ignore[no-untyped-call]
        target = self._cache / hashlib.sha256(f"{self.uri} {location}".encode()).hexdigest()[:32]
        if not target.is_dir():
            with directory_beside(self._cache) as beside:
                repository.download_artifacts("", str(beside))  # type: ignore[no-untyped-call]
                claim(beside, target)  # another process may have been quicker: the same bytes
        return target


def _registered(client: MlflowClient, name: str) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    known = [model.name for model in client.search_registered_models(max_results=10)]
    raise RegistryError(
        f"there is no registered model {name[:80]!r}.",
        hint=f"There are: {', '.join(known)}." if known else "None is registered yet: train one first.",
    )


def _log_data(client: MlflowClient, run_id: str, lineage: Mapping[str, Any]) -> None:
    """The training data as an MLflow dataset: its name, its fingerprint, where it came from."""
    if "fingerprint" not in lineage:
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name = str(lineage.get("name", lineage.get("source", "data")))
    data = Dataset(name[:500], str(lineage["fingerprint"])[:36], "palate", json.dumps({"source": name}))
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])
