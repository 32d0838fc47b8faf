"""LLVM for drjit from the wheel karellen-llvm-core: ray tracing on a CPU without root and without a system LLVM."""

import ctypes
import os
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from wavefoundry.errors import InputError

WHEEL = "karellen-llvm-core"
# In loading order: each needs the ones before it.
RUNTIMES = ("libunwind.so.1.0", "libc++abi.so.1.0", "libc++.so.1.0")


def prepare_ray_tracer() -> None:
    """Make drjit ready to trace rays on one CPU thread; call this before drjit, mitsuba or sionna.rt is imported.

    One thread, because the order in which several threads find the paths differs from run to run, and with it the
    result. A variable DRJIT_LIBLLVM_PATH that is already set is kept.

    Raises:
        InputError: the wheel with LLVM is not installed.
    """
    if "DRJIT_LIBLLVM_PATH" not in os.environ:
        os.environ["DRJIT_LIBLLVM_PATH"] = str(_load_llvm())
    import drjit
    import mitsuba

    drjit.set_thread_count(1)
    if mitsuba.variant() is None:
        # Not left to sionna.rt, which takes the GPU where there is one: the result would depend on the machine.
        mitsuba.set_variant("llvm_ad_mono_polarized")


def _load_llvm() -> Path:
    try:
        installed = {Path(file).name: Path(file.locate()).resolve() for file in files(WHEEL) or ()}
    except PackageNotFoundError:
        raise InputError(f"ray tracing needs LLVM: install the package {WHEEL}, or set DRJIT_LIBLLVM_PATH") from None
    for name in RUNTIMES:
        ctypes.CDLL(str(installed[name]))
    return next(path for name, path in installed.items() if name.startswith("libLLVM.so."))
