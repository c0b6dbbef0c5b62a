"""Run by Python itself as it starts, in each process of `metalassay run` and each child of an emulation.

It imports almost nothing. `metalassay run` puts this folder first on PYTHONPATH, which subprocesses inherit; so nothing is written
into the environment of the program; a program with an emulated mps does so for its children. Here the folder leaves ``sys.path`` again, ``metalassay`` becomes
importable from where `metalassay run` is installed (the same version on both sides, whatever the
environment has), and `metalassay.child.attach` is called once the modules in ``_MODULES`` have been
imported. At last the ``sitecustomize`` that this one hides is imported, as Python would have done it.

Whatever goes wrong here is one line on stderr; the program goes on. Python 3.6 can parse this file.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

_MODULES = ("accelerate.data_loader", "metalassay.keepalive", "torch", "transformers.trainer")
_HERE = os.path.dirname(os.path.abspath(__file__))
_EMULATED = "METALASSAY_EMULATED_MPS"
_said = []  # type: List[str]


def _say(text: str) -> None:
    """Print one line to stderr, once; nothing if there is no stderr."""
    if text not in _said and sys.stderr is not None:
        _said.append(text)
        sys.stderr.write("metalassay: %s\n" % text)


def _harmless(do: "Any", *arguments: object) -> None:
    """Call a function of ours; an error in it is a line, and no error of the program."""
    try:
        do(*arguments)
    except Exception as error:  # noqa: BLE001  (whatever it is, the program did not cause it)
        _say("%s: %s" % (type(error).__name__, " ".join(str(error).split()) or "no message"))


def _begin(folder: "Optional[str]") -> None:
    """Prepare for the imports of the program; ``folder`` is that of the run, if it is part of one."""
    if sys.version_info < (3, 10):
        _say(
            "Python %d.%d gets no patches and no guard here; the oldest that does is 3.10"
            % sys.version_info[:2]
        )
        return
    if "metalassay.after_import" in sys.modules:  # `metalassay run` within `metalassay run`
        return
    import atexit
    from importlib.machinery import SourceFileLoader

    package = os.path.dirname(os.path.dirname(_HERE))
    name = "metalassay.after_import"
    module = type(sys)(name)
    module.__file__ = os.path.join(package, "after_import.py")
    SourceFileLoader(name, module.__file__).exec_module(module)
    sys.modules[name] = module
    finder = module.AfterImport()
    finder.provide("metalassay", os.path.dirname(package))
    modules = _MODULES if folder else ("torch",)
    for each in modules:
        finder.add(each, _attach)
    sys.meta_path.insert(0, finder)
    for each in modules:  # by a .pth file
        if each in sys.modules:
            _attach(sys.modules[each])
    if folder:
        atexit.register(_harmless, _end)
        _send_started(folder)


def _attach(module: "Any") -> None:
    def emulate() -> None:
        from metalassay.mps.emulator import session

        session.start_inherited()

    def attach() -> None:
        from metalassay.child import attach

        attach.after_import(module)

    if module.__name__ == "torch" and os.environ.get(_EMULATED):
        _harmless(emulate)
    _harmless(attach)


def _end() -> None:
    """As Python ends, tell which exception ended the program, and how many steps there were."""
    last = getattr(sys, "last_value", None)
    if "metalassay.child.attach" not in sys.modules and isinstance(last, KeyboardInterrupt):
        # What is imported now would let Python forget to end by SIGINT: executing a text resets its note.
        return
    if "metalassay.child.attach" in sys.modules or last is not None:
        from metalassay.child import attach

        attach.at_exit()


def _send_started(folder: str) -> None:
    """Send the message "started" without the modules json and socket: most of the time they take."""
    kind = _kind(sys.orig_argv)
    if kind == "helper":
        return
    try:
        import _socket as socket
        from _json import encode_basestring_ascii as quoted
    except ImportError:  # another implementation than CPython
        import socket  # type: ignore[no-redef]
        from json.encoder import encode_basestring_ascii as quoted
    version = ".".join(str(number) for number in sys.version_info[:3])
    message = (
        '{"pid": %d, "kind": "started", "python": %s, "executable": %s, "program": %s, "worker": %s}'
        % (
            os.getpid(),
            quoted(version),
            quoted((sys.executable or "")[-300:]),
            quoted(_program(sys.orig_argv)[:300]),
            "true" if kind == "worker" else "false",
        )
    )
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sender.setblocking(False)
        sender.sendto(message.encode("ascii"), os.path.join(folder, "socket"))
    except OSError:  # nobody reads
        pass
    finally:
        sender.close()


def _kind(command: "List[str]") -> str:
    """Return "helper", "worker" or "program" for a command line."""
    code = command[command.index("-c") + 1] if "-c" in command[:-1] else ""
    if "_tracker import main" in code:  # multiprocessing's resource tracker: no work of the program
        return "helper"
    if "multiprocessing" in code or "--multiprocessing-fork" in command:
        return "worker"
    return "program"


def _program(command: "List[str]") -> str:
    """Return the script or "-m module" or "-c" of a command line; "" for the interactive prompt."""
    arguments = iter(command[1:])
    for each in arguments:
        if each in ("-W", "-X", "--check-hash-based-pycs"):
            next(arguments, None)
        elif each.startswith("--") or each.startswith(("-W", "-X")):
            continue
        elif each.startswith("-") and each != "-":
            for place, letter in enumerate(each):
                if letter == "c":
                    return "-c"
                if letter == "m":
                    return "-m " + (each[place + 1 :] or next(arguments, ""))
        else:
            return each
    return ""


def _import_hidden() -> None:
    """Import the ``sitecustomize`` that this one hides; its errors are Python's to report."""
    this = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        # The import system expects an entry, and there may be no other.
        if this is not None:
            sys.modules.setdefault("sitecustomize", this)


sys.path[:] = [each for each in sys.path if os.path.abspath(each) != _HERE]
_folder = os.environ.get("METALASSAY_RUN")
if _folder and not os.path.isdir(_folder):
    _folder = None
if _folder or os.environ.get(_EMULATED):
    _harmless(_begin, _folder)
_import_hidden()
