"""Where a service's pages are: every link below a service is made here."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec

from daemon.web import links


class Places(msgspec.Struct, frozen=True):
    """Links of one service.  Names and ids stand in them as they are: they are slugs and run ids."""

    project: str
    service: str

    @property
    def home(self) -> str:
        return links.service(self.project, self.service)

    @property
    def owner(self) -> str:
        return links.project(self.project)

    @property
    def backups(self) -> str:
        """A part of the service's page; a backup is asked for by posting here."""
        return f"{self.home}/backups"

    @property
    def schedule(self) -> str:
        return f"{self.home}/schedule"

    @property
    def schedule_preview(self) -> str:
        return f"{self.schedule}/preview"

    @property
    def retention(self) -> str:
        return f"{self.home}/retention"

    @property
    def retention_preview(self) -> str:
        return f"{self.retention}/preview"

    @property
    def charts(self) -> str:
        return f"{self.home}/charts"

    @property
    def chart_data(self) -> str:
        return f"{self.charts}/data"

    @property
    def settings(self) -> str:
        return f"{self.home}/settings"

    @property
    def delete(self) -> str:
        return f"{self.home}/delete"

    @property
    def undelete(self) -> str:
        return f"{self.home}/undelete"

    def backup(self, id_: str) -> str:
        return links.backup(self.project, self.service, id_)

    def of_backup(self, id_: str, what: str) -> str:
        """`tags`, `protection`, `cancel`, `delete`, `restore`, `history`, or another part of it."""
        return f"{self.backup(id_)}/{what}"

    def restore(self, id_: str) -> str:
        return links.restore(self.project, self.service, id_)

    def cancel_restore(self, id_: str) -> str:
        return f"{self.restore(id_)}/cancel"

    def live(self, kind: str, id_: str) -> str:
        """The feed of a run; `kind` is `backup` or `restore`."""
        return f"{self.home}/runs/{id_}/live?{urlencode({'kind': kind})}"

    def content(self, id_: str, artifact: str, *, as_: str) -> str:
        """An artifact's bytes: `native`, or as the `age` file that it is."""
        query = urlencode({"artifact": artifact, "as": as_}, quote_via=quote)
        return f"/api/v1/projects/{self.project}/services/{self.service}/backups/{id_}/content?{query}"
