"""The contract's parts that a container can change: life cycle, appending, faults, what is beside.

How events are read is the adapter's, wherever its server runs.
"""

from ..stores.contract.test_appending import *  # noqa: F403
from ..stores.contract.test_beside_the_log import *  # noqa: F403
from ..stores.contract.test_faults import *  # noqa: F403
from ..stores.contract.test_lifecycle import *  # noqa: F403
