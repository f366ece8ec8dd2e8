"""Azure's control plane on the loopback: stateful, strict, and able to fail on demand."""

from mlops_assets_tests.control_plane.clock import RealClock, VirtualClock
from mlops_assets_tests.control_plane.latency import Latency
from mlops_assets_tests.control_plane.plane import ControlPlane
from mlops_assets_tests.control_plane.transport import PlaneTransport

__all__ = ["ControlPlane", "Latency", "PlaneTransport", "RealClock", "VirtualClock"]
