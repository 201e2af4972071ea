"""What does a model eat? Leads by name, rate, band and unit; it travels with every dataset and bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from einthoven.errors import ConformError
from einthoven.leads import TWELVE_LEADS, canonical_lead
from einthoven.record import Unit

__all__ = ["SignalSpec"]


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """The form a signal must have.

    Attributes:
        leads: lead names in order.
        fs: samples per second.
        band_hz: zero-phase band-pass edges (low, high) in Hz; None leaves the band as recorded.
        notch_hz: power-line frequency to remove; None removes none.
        unit: ``"mV"`` or ``"normalised"``.

    Raises:
        ConformError: a value that no signal can have.
    """

    leads: tuple[str, ...] = TWELVE_LEADS
    fs: float = 100.0
    band_hz: tuple[float, float] | None = None
    notch_hz: float | None = None
    unit: Unit = "mV"

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", tuple(canonical_lead(lead) for lead in self.leads))
        if not self.leads or len(set(self.leads)) != len(self.leads):
            raise ConformError(f"a signal specification needs different lead names, got {', '.join(self.leads)}")
        if not 0 < self.fs < 100_000:
            raise ConformError(f"the sampling rate must be between 0 and 100,000 Hz, got {self.fs}")
        object.__setattr__(self, "fs", float(self.fs))
        if self.band_hz is not None:
            low, high = self.band_hz
            object.__setattr__(self, "band_hz", (float(low), float(high)))
            if not 0 <= low < high <= self.fs / 2:
                raise ConformError(
                    f"the band must lie within 0 and {self.fs / 2} Hz, low before high, got {low}, {high}"
                )
        if self.notch_hz is not None and not 0 < self.notch_hz < self.fs / 2:
            raise ConformError(f"the notch must lie between 0 and {self.fs / 2} Hz, got {self.notch_hz}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SignalSpec:
        """Rebuild what ``to_dict`` wrote."""
        band = values.get("band_hz")
        return cls(**{**values, "leads": tuple(values["leads"]), "band_hz": tuple(band) if band else None})
