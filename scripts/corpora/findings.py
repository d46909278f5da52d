"""The findings of one corpus."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Findings:
    """The findings of one corpus.

    Attributes:
        source: The distribution that it came from.
        count: The number of each kind of thing that was tried.
        listed: The number of exceptions, by the reason that is listed for them.
        failures: One line for each thing that failed.
    """

    source: str
    count: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def print(self) -> None:
        """Print them."""
        print(f"{self.source}: {', '.join(f'{number} {what}' for what, number in self.count.items())}")
        for reason, number in sorted(self.listed.items()):
            print(f"  listed: {number:4} {reason}")
        for failure in self.failures:
            print(f"  FAILED: {failure}")
