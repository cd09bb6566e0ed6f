"""Makes a vault: `… NAME`."""

import sys

from hbr import client, new_vault

new_vault(client(), sys.argv[3])
