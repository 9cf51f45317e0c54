"""The smallest ML2 mechanism driver: it binds every port on every host.

The port is real in Neutron's database (MAC, fixed IP, security groups, host) and goes ACTIVE when
it is bound; no agent and no data plane stand behind it. Neutron's own drivers bind nothing without
an agent.
"""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class FakeMechanismDriver(api.MechanismDriver):
    """Binds at once, to nothing."""

    def initialize(self):
        """Nothing to set up."""

    def bind_port(self, context):
        segment = context.segments_to_bind[0]
        context.set_binding(
            segment[api.ID],
            portbindings.VIF_TYPE_OTHER,
            {portbindings.CAP_PORT_FILTER: True},
            status=constants.PORT_STATUS_ACTIVE,
        )
