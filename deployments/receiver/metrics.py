"""What Prometheus is told."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest


class Metrics:
    """The metrics of one receiver; no label has values that senders choose."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._deliveries = Counter(
            "modelflight_receiver_deliveries",
            "Deliveries by forge, by kind of event, and by how they ended.",
            ["forge", "event", "outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "modelflight_receiver_answer_seconds",
            "Time until a delivery was answered.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        self._superseded = Counter(
            "modelflight_receiver_superseded",
            "Starts that a newer push made unnecessary before Prefect was asked for them.",
            registry=self._registry,
        )

    def delivered(self, forge: str, event: str, outcome: str, seconds: float) -> None:
        """Counts a delivery."""
        self._deliveries.labels(forge, event, outcome).inc()
        self._seconds.observe(seconds)

    def superseded(self) -> None:
        """Counts a start that was left out."""
        self._superseded.inc()

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)
