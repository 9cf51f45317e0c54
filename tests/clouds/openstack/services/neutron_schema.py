"""neutron_schema.py DATABASE CONFIGURATION: Neutron's tables from its models, then its stamp.

As Neutron's own test fixtures do, and not with `neutron-db-manage upgrade heads`: its migration
d553edeb540f is MySQL's SQL and stops on PostgreSQL.
"""

import sys

import sqlalchemy
from neutron.db.migration import cli
from neutron.db.migration.models import head
from neutron_lib.db import model_base

assert head  # importing it registers every model
model_base.BASEV2.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
sys.argv = ["neutron-db-manage", "--config-file", sys.argv[2], "stamp", "heads"]
sys.exit(cli.main())
