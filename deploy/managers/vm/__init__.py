"""Workers as VMs of an OpenStack project."""
