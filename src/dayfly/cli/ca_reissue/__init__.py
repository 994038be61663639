"""`dayfly ca reissue`: have certificates renewed before their time, spread over the time that is given.

Rules: it is said beforehand whom it means, and nothing is written where it means nobody; every worker tells clients of
it from that commit on; who does not ask for renewal information does not hear of it, and renews as ever.

Modules: `choosing` turns flags into a reissue, `telling` says what it is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.ca_reissue.choosing import Meant, check_alone, check_chosen, find_meant, wanted_of
from dayfly.cli.ca_reissue.telling import document_of, tell, tell_list
from dayfly.cli.output import emit, home_option, json_option, tick
from dayfly.config.values import Config
from dayfly.core.frozen import replace
from dayfly.core.schedule import Timing
from dayfly.core.settings.reissue_changes import plan_cancellation, plan_reissue
from dayfly.core.settings.reissues import Reissue
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.errors import ConfigError
from dayfly.wiring.commands import change_settings_of, read_settings_of
from dayfly.wiring.homes import enter_home

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("serials", nargs=-1, metavar="[SERIAL]...")
@home_option
@click.option("--cert", "files", type=_FILE, multiple=True, help="The certificate in this file; repeat for more.")
@click.option("--name", "names", multiple=True, help="Those with this name, or one of *.a.b, **.a.b; repeat for more.")
@click.option("--account", "accounts", multiple=True, help="Those of this ACME account, an id or its URL.")
@click.option("--owner", default="", help="Those of this owner.")
@click.option("--provisioner", default="", help="Those of this provisioner.")
@click.option("--old-issuer", is_flag=True, help="Those that another issuing certificate signed than today's.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--within", default="10m", show_default=True, help="The time to spread them over, evenly; 0s is at once.")
@click.option("--reason", default="", help="Why, in words; it stands in the list of reissues.")
@click.option("--explanation-url", default="", metavar="URL", help="A page that clients show; else that of ca.toml.")
@click.option("--dry-run", is_flag=True, help="Say whom it would mean, and change nothing.")
@click.option("--list", "listing", is_flag=True, help="List the reissues that still mean somebody.")
@click.option("--cancel", default="", metavar="ID", help="Take one back; who has renewed has renewed.")
@json_option
def reissue(home: str | None, as_json: bool, listing: bool, cancel: str, dry_run: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Have certificates renewed before their time: all that is chosen must hold."""
    if listing or cancel:
        check_alone(options, dry_run=dry_run)
        (_cancel if cancel else _list)(enter_home(home), cancel, as_json=as_json)
        return
    check_chosen(options)
    config = enter_home(home)
    wanted = wanted_of(config, options)
    meant = asyncio.run(find_meant(config, wanted))
    if not meant.count:
        raise ConfigError(
            "", "no living certificate is meant; nothing was changed", hint="see what there is: dayfly ca list"
        )
    _carry_out(config, wanted, meant, dry_run=dry_run, as_json=as_json)


def _carry_out(config: Config, wanted: Reissue, meant: Meant, *, dry_run: bool, as_json: bool) -> None:
    made: list[Reissue] = []

    def plan(settings: Settings) -> SettingsChange:
        numbered, change = plan_reissue(settings, replace(wanted, until=meant.until))
        made[:] = [numbered]
        return change

    if dry_run:
        plan(asyncio.run(read_settings_of(config)))
    else:
        asyncio.run(change_settings_of(config, plan))
    hears = Timing.for_lifetime(meant.longest).ari_retry_after
    if as_json:
        document = document_of(made[0]) | {"certificates": meant.count, "owners": sorted(meant.owners)}
        if dry_run:
            del document["id"]
        emit(document | {"changed": not dry_run, "heard_within": int(hears.total_seconds())})
        return
    tell(made[0], meant, hears, dry_run=dry_run)


def _cancel(config: Config, reissue_id: str, *, as_json: bool) -> None:
    asyncio.run(change_settings_of(config, lambda settings: plan_cancellation(settings, reissue_id)))
    if as_json:
        emit({"cancelled": reissue_id})
    else:
        tick("Cancelled", reissue_id)


def _list(config: Config, _: str, *, as_json: bool) -> None:
    now = SystemClock().now()
    found = [one for one in asyncio.run(read_settings_of(config)).reissues if one.until >= now]
    if as_json:
        emit([document_of(one) for one in found])
        return
    tell_list(found)
