"""Where the segments of a deployment are: in the spool, or shipped as a folder of Parquet files.

    home/segments/<project>/<environment>/<name>/<segment>/
        manifest.json  predictions.parquet  labels.parquet  rejections.parquet     (kinds without rows are absent)

The folder appears by one rename when all of it is on disk, so a folder with a name is whole. The raw file goes
afterwards; where both exist, the raw one is ignored.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.base.encoding import from_json
from holdfast.base.home import Home
from holdfast.serving.records import DeploymentKey, SegmentManifest
from holdfast.serving.spool import CLOSED, OPEN, deployment_folder

MANIFEST = "manifest.json"


class Segments:
    """The segments of the deployments of a home. Manifests never change and are read once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._manifests: dict[Path, SegmentManifest] = {}

    def spool_folder(self, key: DeploymentKey) -> Path:
        return deployment_folder(self._home.spool, key)

    def shipped_folder(self, key: DeploymentKey) -> Path:
        return deployment_folder(self._home.segments, key)

    def names(self, key: DeploymentKey) -> list[str]:
        """Every segment in the order of creation of each worker.

        The spool is listed first: what is shipped in between then shows up in the second listing.
        """
        raw = {path.stem for path in _files(self.spool_folder(key)) if path.suffix in (OPEN, CLOSED)}
        return sorted(raw | {path.name for path in _files(self.shipped_folder(key))})

    def closed(self, key: DeploymentKey) -> list[Path]:
        """The raw files that wait to be shipped."""
        return sorted(path for path in _files(self.spool_folder(key)) if path.suffix == CLOSED)

    def raw_file(self, key: DeploymentKey, segment: str) -> Path | None:
        """The raw file of a segment under its present name."""
        for suffix in (OPEN, CLOSED):
            path = self.spool_folder(key) / f"{segment}{suffix}"
            if path.exists():
                return path
        return None

    def manifest(self, key: DeploymentKey, segment: str) -> SegmentManifest | None:
        """The manifest of a shipped segment, None while there is only the raw file."""
        folder = self.shipped_folder(key) / segment
        found = self._manifests.get(folder)
        if found is None:
            try:
                found = from_json((folder / MANIFEST).read_bytes(), SegmentManifest)
            except FileNotFoundError:
                return None
            self._manifests[folder] = found
        return found


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
