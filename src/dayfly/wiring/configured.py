"""What the configuration makes by itself: the resolver, the validators, the caps.

Rules: the same for every process of a host; what holds for the host is shared out among its workers.
"""

from __future__ import annotations

from dayfly.adapters.chaos import DelayedValidator
from dayfly.adapters.validators import make_validators
from dayfly.adapters.validators.dnsclient import NameServer
from dayfly.adapters.validators.reach import Reach
from dayfly.adapters.validators.resolver import Resolver
from dayfly.authority.context import Caps
from dayfly.config.values import Config
from dayfly.core.frozen import replace
from dayfly.ports.validation import Validator
from dayfly.wiring.listeners import own_listeners
from dayfly.wiring.place import ALONE, Place

OF_THE_HOST = (
    "validations",
    "validations_per_account",
    "validations_per_address",
    "waiting_validations",
    "waiting_per_account",
)
"""The caps that hold for all workers together."""


def resolver_of(config: Config) -> Resolver:
    """The resolver of the configuration."""
    return Resolver([NameServer(one.host, one.port) for one in config.validation.resolver])


def validators_of(config: Config) -> dict[str, Validator]:
    """The validators by challenge type, under the address rules of the configuration."""
    pairs, ports = own_listeners(config)
    validation = config.validation
    resolver = resolver_of(config)
    reach = Reach(
        resolver=resolver,
        hosts=validation.hosts,
        allow=validation.allow,
        own_listeners=pairs,
        own_ports=ports,
    )
    made = make_validators(reach, resolver, http_port=validation.http_port, tls_port=validation.tls_port)
    if config.chaos is None:
        return dict(made)
    return {kind: DelayedValidator(validator, config.chaos.delay) for kind, validator in made.items()}


def caps_of(config: Config, place: Place = ALONE) -> Caps:
    """The counted limits of the configuration; what holds for the host is shared out among its workers."""
    figures = config.limit_figures
    open_orders = figures.open_orders if config.limits_enabled else 0
    caps = Caps(open_orders=open_orders, pending_authorizations=figures.pending_authorizations)
    if config.chaos is not None:
        caps = replace(caps, orders_page=config.chaos.orders_page)
    shared = {name: max(1, getattr(caps, name) // place.workers) for name in OF_THE_HOST}
    return replace(caps, **shared)
