"""What the set-up asks of Python.

It is passed to `python3 -c` with a task and its arguments, runs on Python 3.8 and later without any
package, and answers in lines `name=value`. A task that fails says why in one line on stderr.
"""

import os
import sys


def probe(folder):
    """The versions of pip and of the C library, and the free bytes where `folder` is."""
    import importlib.util
    import shutil

    pip = ""
    if importlib.util.find_spec("pip") is not None:
        import pip as package

        pip = package.__version__
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        libc = ""
    print(f"pip={pip}")
    print(f"libc={libc}")
    print(f"free={shutil.disk_usage(folder).free}")


def installed(version, library):
    """The folder of the installed torch if its libtorch can serve: the right version, from a wheel."""
    import ctypes
    from importlib import metadata

    try:
        torch = metadata.distribution("torch")
    except metadata.PackageNotFoundError:
        return
    print(f"version={torch.version}")
    public, _, local = torch.version.partition("+")
    if public != version:
        return print(f"unfit=it is not {version}")
    if local.startswith(("rocm", "xpu")):
        return print(f"unfit=it is built for {local}")
    folder = os.path.realpath(torch.locate_file("torch"))
    path = os.path.join(folder, "lib", library)
    # Other packagers (conda) link to libraries of their own here, built against another C++ runtime.
    if not os.path.isfile(path) or os.path.islink(path):
        return print(f"unfit=it has no lib/{library} of its own")
    try:
        ctypes.CDLL(path)
    except OSError as error:
        return print(f"unfit={error}")
    print(f"folder={folder}")


def unpack(target, needs, *wheels):
    """Unpack headers and libraries; `zipfile` checks each file's CRC as it reads it."""
    import zipfile

    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if wanted(member, needs):
                    archive.extract(member, target)


def wanted(member, needs):
    """Whether a file of a wheel is needed to build or run, with `needs` either `cpu` or `cuda`."""
    folder, _, name = member.rpartition("/")
    if member.startswith("torch/include/"):
        return name != ""
    if ".so" not in name and not name.endswith(".dylib"):
        return False
    if folder == "torch/lib":
        if name == "libtorch.so" or name.startswith(("libtorch_python", "libtorch_global_deps", "libshm")):
            return False
        return needs == "cuda" or not any(part in name for part in ("cuda", "nvrtc", "nvshmem"))
    if folder.startswith("nvidia/") and folder.endswith("/lib"):
        return needs == "cuda" or name.startswith(("libcudart.so", "libcupti.so"))
    return False


def load(*libraries):
    """Load each library as the worker will, without what the environment adds to the search."""
    import ctypes

    for library in libraries:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)


if __name__ == "__main__":
    tasks = {"probe": probe, "installed": installed, "unpack": unpack, "load": load}
    try:
        tasks[sys.argv[1]](*sys.argv[2:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
