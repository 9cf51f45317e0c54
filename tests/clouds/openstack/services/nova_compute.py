"""nova-compute that also finds virt drivers in the folder nova_virt beside this file.

Nova loads `nova.virt.` + compute_driver, so a driver outside that package cannot be named.
"""

import sys
from pathlib import Path

import nova.virt

nova.virt.__path__.append(str(Path(__file__).resolve().parent / "nova_virt"))
from nova.cmd.compute import main  # noqa: E402

sys.argv[0] = "nova-compute"
sys.exit(main())
