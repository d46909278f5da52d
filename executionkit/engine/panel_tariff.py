"""What the calls of a panel cost before it is known which member makes them."""

from collections.abc import Sequence
from decimal import Decimal

from executionkit.engine.dealing import Dealer
from executionkit.engine.tariff import Tariff, no_prices_of, tariff_of


class PanelTariff(Tariff):
    """The prices of the dearest member. Replies are priced by the tariff of the member that gave them.

    Args:
        tariffs: Those of the members.
    """

    def __init__(self, tariffs: Sequence[Tariff]) -> None:
        self._tariffs = tariffs

    @property
    def is_ready(self) -> bool:
        """Whether all the books can be asked."""
        return all(tariff.is_ready for tariff in self._tariffs)

    async def get_ready(self) -> None:
        """Load the books that are not loaded."""
        for tariff in self._tariffs:
            await tariff.get_ready()

    def at_most(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The most that a call of any member may cost."""
        return max(tariff.at_most(input_tokens, output_tokens) for tariff in self._tariffs)


def tariff_for(provider: object) -> Tariff | None:
    """The tariff of a provider; None if it has none, or if one of a panel's members has none."""
    if not isinstance(provider, Dealer):
        return tariff_of(provider)
    tariffs = [tariff for tariff in map(tariff_of, provider.members) if tariff is not None]
    return PanelTariff(tariffs) if len(tariffs) == len(provider.members) else None


def no_prices_for(provider: object) -> str:
    """The message for a ceiling in dollars on a provider, or on a panel with a member, without prices."""
    if isinstance(provider, Dealer):
        provider = next(member for member in provider.members if tariff_of(member) is None)
    return no_prices_of(provider)
