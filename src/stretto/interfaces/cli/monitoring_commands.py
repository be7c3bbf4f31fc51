"""Declares `stretto top` and `stretto monitoring …`; the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stretto.contexts.monitoring.service import MonitoringService

watching_app = typer.Typer()
monitoring_app = typer.Typer(
    no_args_is_help=True, help="Look at what was measured, and at the alerts."
)
watching_app.add_typer(monitoring_app, name="monitoring")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@watching_app.command("top")
def top(
    every_s: Annotated[
        float, typer.Option("--every", help="Seconds between two looks, 0.5 to 3600.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
) -> None:
    """Show the queue, the workers, rates, percentiles and alerts, again and again."""
    from stretto.interfaces.cli.top import show_top

    with _monitoring() as service:
        show_top(service, every_s=every_s, once=once)


@monitoring_app.command("alerts")
def alerts(
    every: Annotated[bool, typer.Option("--all", help="Those that are calm, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show which alerts hold, and what to do about them.

    Exit codes: 0 none does, 1 some do.
    """
    from stretto.interfaces.cli.monitoring import show_alerts

    with _monitoring() as service:
        raise typer.Exit(show_alerts(service, every=every, as_json=as_json))


@monitoring_app.command("rules")
def rules(as_json: Json = False) -> None:
    """Show the alert rules, those of your own file included."""
    from stretto.interfaces.cli.monitoring import show_rules

    with _monitoring() as service:
        show_rules(service, as_json=as_json)


@monitoring_app.command("series")
def series(
    metric: Annotated[
        str | None, typer.Argument(metavar="[METRIC]", help="Such as queue.depth.")
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(help="last, sum, rate, average, p50, p95 or p99. [default: by the metric]"),
    ] = None,
    minutes: Annotated[int, typer.Option(help="How far back, 1 to 576000.")] = 60,
    as_json: Json = False,
) -> None:
    """Show a metric over time, a line for each moment; without a METRIC, which there are."""
    from stretto.interfaces.cli.monitoring import list_metrics, show_series

    if metric is None:
        list_metrics(as_json=as_json)
        return
    with _monitoring() as service:
        show_series(service, metric, measure=measure, minutes=minutes, as_json=as_json)


@monitoring_app.command("silence")
def silence(
    rule: Annotated[str, typer.Argument(metavar="RULE")],
    minutes: Annotated[int, typer.Option(help="For how long; 0 ends the silence.")] = 60,
) -> None:
    """Tell nobody of an alert for a while; what still holds afterwards is told then."""
    from stretto.interfaces.cli.monitoring import silence_rule

    with _monitoring() as service:
        silence_rule(service, rule, minutes=minutes)


@monitoring_app.command("export")
def export(
    what: Annotated[str, typer.Argument(metavar="grafana|prometheus|metrics")],
) -> None:
    """Write the dashboard for Grafana, the rules for Prometheus, or what it would scrape just now
    on standard output."""
    from stretto.bootstrap import load_settings
    from stretto.bootstrap.monitoring import rules_of
    from stretto.interfaces.cli.monitoring import export_as

    settings = load_settings()

    def exposition() -> str:
        with _monitoring() as service:
            return service.exposition()

    export_as(what, rules=lambda: rules_of(settings), exposition=exposition)


@contextmanager
def _monitoring() -> Generator[MonitoringService, None, None]:
    from stretto.bootstrap import build_database, load_settings
    from stretto.bootstrap.logs import set_up_logging
    from stretto.bootstrap.monitoring import build_service

    settings = load_settings()
    set_up_logging(settings)
    database = build_database(settings)
    try:
        yield build_service(settings, database)
    finally:
        database.close()
