"""The controller's options about webhooks, and what they make."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deploy.controller.settings import WebhookSettings
from deploy.secret_file import read_secret_file
from deploy.webhooks.sender import Sender
from deploy.webhooks.target import Allowed
from env.errors import DaCircoError

_LEAST_SECRET: Final = 16


def add_webhook_options(group: argparse._ArgumentGroup) -> None:
    """The options that `webhook_settings` reads."""
    group.add_argument(
        "--webhook-secret-file",
        type=Path,
        metavar="FILE",
        help="file with the secret that webhooks are signed with; without it there are none",
    )
    group.add_argument(
        "--webhook-allow",
        action="append",
        default=[],
        metavar="HOST",
        help="a name, *.DOMAIN, an address or a network to which webhooks may go though it is not "
        "public; give it again for more",
    )


def webhook_settings(args: argparse.Namespace) -> WebhookSettings:
    """What the options say."""
    return WebhookSettings(args.webhook_secret_file, tuple(args.webhook_allow))


def make_sender(settings: WebhookSettings) -> Sender | None:
    """Who sends webhooks; none if there are none.

    Raises:
        DaCircoError: the secret cannot be used, or a host to allow is none.
    """
    allowed = Allowed(settings.allow)
    if settings.secret_file is None:
        if settings.allow:
            raise DaCircoError("--webhook-allow needs --webhook-secret-file: there are no webhooks")
        return None
    secret = read_secret_file(settings.secret_file, "--webhook-secret-file").strip()
    if len(secret) < _LEAST_SECRET:
        raise DaCircoError(
            f"--webhook-secret-file {settings.secret_file}: it has less than {_LEAST_SECRET} "
            "characters: make one with openssl rand -hex 32"
        )
    return Sender(secret, allowed)
