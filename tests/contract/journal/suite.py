"""What every journal promises, as a suite that any store can be held to.

A store's own test module does

    from tests.contract.journal.suite import JournalContract

    class TestMyStore(JournalContract):
        @pytest.fixture
        def store(self, tmp_path): return MyStores(tmp_path)

where the fixture is a `Stores`: it opens journals. Nothing here knows what a store is made of.
"""

from __future__ import annotations

from tests.contract.journal.care import Care
from tests.contract.journal.harness import Stores
from tests.contract.journal.keeping import Keeping
from tests.contract.journal.registers import Registers
from tests.contract.journal.streams import Streams
from tests.contract.journal.turns import Turns

__all__ = ["JournalContract", "Stores"]


class JournalContract(Streams, Registers, Turns, Keeping, Care):
    """Subclass it with a fixture `store`."""
