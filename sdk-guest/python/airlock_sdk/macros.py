"""Airflow's macros, for tasks that take `macros`; in templates the host has them."""

import datetime
import json
import random
import time
import uuid

__all__ = ["datetime", "json", "random", "time", "uuid", "timedelta", "ds_add", "ds_format"]

timedelta = datetime.timedelta


def ds_add(ds: str, days: int) -> str:
    """A date as text, so many days later."""
    if not days:
        return ds
    return (datetime.datetime.strptime(str(ds), "%Y-%m-%d") + timedelta(days)).strftime("%Y-%m-%d")


def ds_format(ds: str, input_format: str, output_format: str) -> str:
    """A date as text in another format."""
    return datetime.datetime.strptime(str(ds), input_format).strftime(output_format)
