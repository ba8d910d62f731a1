"""What `/metrics` tells, read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Samples:
    """All samples of one scrape."""

    def __init__(self, text: str, *, openmetrics: bool = False) -> None:
        parse = parse_openmetrics if openmetrics else parse_text
        self._found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in parse(text):
            for sample in family.samples:
                self._found[sample.name, frozenset(sample.labels.items())] = sample.value

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self._found}

    def value(self, name: str, **labels: str) -> float | None:
        """Of the series with exactly these labels; None where there is none."""
        return self._found.get((name, frozenset(labels.items())))

    def series(self, name: str) -> Mapping[frozenset[tuple[str, str]], float]:
        """All of that name."""
        return {labels: value for (found, labels), value in self._found.items() if found == name}


async def scrape(http: httpx.AsyncClient, **headers: str) -> Samples:
    answer = await http.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return Samples(answer.text, openmetrics=answer.headers["content-type"].startswith("application/openmetrics"))
