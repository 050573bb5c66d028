"""The contract suite on containers: what is promised does not depend on where a server runs."""

from ..stores.contract.test_appending import *  # noqa: F403
from ..stores.contract.test_beside_the_log import *  # noqa: F403
from ..stores.contract.test_concurrency import *  # noqa: F403
from ..stores.contract.test_faults import *  # noqa: F403
from ..stores.contract.test_fidelity import *  # noqa: F403
from ..stores.contract.test_idempotency import *  # noqa: F403
from ..stores.contract.test_lifecycle import *  # noqa: F403
from ..stores.contract.test_reading import *  # noqa: F403
from ..stores.contract.test_subscribing import *  # noqa: F403
